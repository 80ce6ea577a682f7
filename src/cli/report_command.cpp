#include <cstdint>
#include <cstdio>
#include <limits>
#include <span>
#include <string>
#include <utility>

#include "cli/command.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/printable.hpp"
#include "gridmill/output/output_target.hpp"
#include "gridmill/report/report.hpp"

namespace gridmill::cli {

namespace {

/// A stream, which has no offsets.
void write_stream(const OutputTarget& target, std::string_view text) {
  FileDescriptor file = target.open_stream();
  std::FILE* stream = ::fdopen(file.get(), "w");
  if (stream == nullptr) {
    throw OutputError(fmt::format("cannot write to {}: {}", target.path(), system_reason()));
  }
  file.release();
  const bool written = std::fwrite(text.data(), 1, text.size(), stream) == text.size();
  if (std::fclose(stream) != 0 || !written) {
    throw IoError(fmt::format("writing {} failed: {}", target.path(), system_reason()));
  }
}

}  // namespace

ExitCode run_report(const Arguments& arguments, const MpiSession* /*session*/) {
  ReportOptions options;
  std::string output;
  std::string rows = std::to_string(options.rows);
  CommandSyntax syntax{
      .name = "report",
      .example = "Example: gridmill report out/stories.h5 -o stories.html",
      .summary =
          "A result file as one HTML page for a browser: progress, statistics, and a sample of "
          "the\n"
          "rows. Model, prompts and metrics default to those of the last run. Safe while a job "
          "runs."};
  syntax.arguments.add_options()("file", po::value(&options.file)->required());
  auto add = syntax.options.add_options();
  add("output,o", po::value(&output)->required()->value_name("FILE"), "the page");
  add("rows", po::value(&rows)->default_value(rows)->value_name("N"), "rows of the sample");
  add("model", po::value(&options.model)->value_name("M.h5"), "checkpoint with the tokenizer");
  add("prompts", po::value(&options.prompts)->value_name("FILE"), "prompt file of the job");
  add("metrics", po::value(&options.metrics)->value_name("FILE"), "--metrics of the job");
  syntax.positional.add("file", 1);
  if (!parse(syntax, arguments)) return ExitCode::ok;
  options.rows = static_cast<std::uint32_t>(positive_integer("--rows", rows));

  const Report report(options);
  OutputRules rules{.name = "--output",
                    .format = {},
                    .inputs = result_file_inputs(options.file),
                    .side_files = {}};
  rules.inputs.push_back({"the model", report.model_path()});
  rules.inputs.push_back({"the prompts", report.prompts_path()});
  rules.inputs.push_back({"the metrics", report.metrics_path()});
  const OutputTarget target = OutputTarget::decide(output, rules);
  const std::string page = report.page();
  if (target.is_stream()) {
    write_stream(target, page);
  } else {
    write_file_atomically(target.path(), page);
  }
  return ExitCode::ok;
}

}  // namespace gridmill::cli
