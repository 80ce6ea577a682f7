#include <charconv>
#include <sstream>

#include "cli/command.hpp"
#include "cli/run_options.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/job/verify_job.hpp"

namespace gridmill::cli {

namespace {

template <typename T>
T number(const std::string& option, const std::string& text, const char* expected) {
  T value{};
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || end != text.data() + text.size()) {
    throw UsageError(fmt::format("{} is '{}', expected {}", option, text, expected));
  }
  return value;
}

/// "5,17"
std::vector<RowId> row_numbers(const std::string& text) {
  std::vector<RowId> rows;
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, ',');) {
    rows.push_back(number<RowId>("--rows", part, "row numbers like 5,17"));
  }
  if (rows.empty()) throw UsageError("--rows is empty, expected row numbers like 5,17");
  return rows;
}

/// "1%"
double percentage(const std::string& text) {
  constexpr const char* kExpected = "a share of the rows like 1%";
  const bool marked = !text.empty() && text.back() == '%';
  const double percent =
      number<double>("--sample", marked ? text.substr(0, text.size() - 1) : "", kExpected);
  if (!(percent > 0.0 && percent <= 100.0)) {
    throw UsageError(fmt::format("--sample is '{}', expected {}", text, kExpected));
  }
  return percent;
}

}  // namespace

ExitCode run_verify(const Arguments& arguments, const MpiSession* /*session*/) {
  VerifyConfig config;
  bool all = false;
  CommandSyntax syntax{
      .name = "verify",
      .example =
          "Example: mpirun -n 2 gridmill verify out/stories.h5 --model out/stories.h5 "
          "--prompts jobs/prompts/stories.txt --sample 10% --tp 2",
      .summary =
          "Generates rows of a result file again, on any grid and backend of the same numerics,\n"
          "and compares every bit; also checks the crcs of all rows. Exit code 1 on a difference."};
  po::options_description own("What is verified");
  auto add = own.add_options();
  add("prompts", po::value(&config.prompts)->required()->value_name("FILE"),
      "the prompt file of the job, checked by hash");
  add("rows",
      po::value<std::string>()->value_name("N,...")->notifier(
          [&config](const std::string& text) { config.rows = row_numbers(text); }),
      "these rows");
  add("sample",
      po::value<std::string>()->value_name("P%")->notifier(
          [&config](const std::string& text) { config.sample_percent = percentage(text); }),
      "so many rows, drawn anew each time");
  add("all", switch_value(&all), "every row: what happens without --rows and --sample");
  syntax.options.add(run_options(config.run)).add(own);
  syntax.arguments.add_options()("file", po::value(&config.file)->required(), "");
  syntax.positional.add("file", 1);
  const auto check = [&] {
    if (!config.rows.empty() + config.sample_percent.has_value() + all > 1) {
      throw UsageError("--rows, --sample and --all exclude each other");
    }
    check_run_options(config.run);
  };
  if (!parse_on_every_rank(syntax, arguments, check)) return ExitCode::ok;
  return run_verify_job(config);
}

}  // namespace gridmill::cli
