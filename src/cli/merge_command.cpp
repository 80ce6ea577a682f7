#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/command.hpp"
#include "gridmill/base/clock.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/base/log.hpp"
#include "gridmill/base/process.hpp"
#include "gridmill/build_info/version.hpp"
#include "gridmill/output/output_target.hpp"
#include "gridmill/results/merge.hpp"
#include "gridmill/results/result_file.hpp"
#include "gridmill/results/run_lock.hpp"
#include "gridmill/results/run_log.hpp"

namespace gridmill::cli {

namespace {

struct MergeFiles {
  std::string output;
  std::vector<std::string> parts;
};

/// @throws UsageError if the output is a part, or one of the files beside it; OutputError.
void check_output(const MergeFiles& files, bool scores) {
  OutputRules rules{.name = "OUT.h5",
                    .use = OutputUse::replaced,
                    .format = scores ? "gridmill-scores" : "gridmill-results",
                    .inputs = {},
                    .side_files = {".lock", ".runs.jsonl"}};
  for (const std::string& part : files.parts) {
    for (CommandInput& input : result_file_inputs(part)) rules.inputs.push_back(std::move(input));
  }
  static_cast<void>(OutputTarget::decide(files.output, rules));
}

/// An existing output keeps its rows.
void add_existing(const std::string& output, const ResultFile& first, ResultMerge& merge) {
  if (!std::filesystem::exists(output)) return;
  const ResultFile existing = ResultFile::open(output);
  existing.require_same_job(first.job(), first.layout().shape);
  merge.add(existing, usable_cores());
}

void add_part(const std::string& path, ResultMerge& merge) {
  require_no_writer(path);
  merge.add(ResultFile::open(path, ResultFile::Origin::anywhere), usable_cores());
  require_no_writer(path);  // a run that has begun meanwhile may have changed what was read
}

/// The run log's record of this merge. Model and prompts are those of the newest run of the parts.
OrderedJson record_of(const MergeFiles& files, const std::string& start, const Arguments& arguments,
                      const ResultMerge& merge) {
  OrderedJson record = {
      {"start", start},
      {"host", host_name()},
      {"version", version()},
      {"git", git_hash()},
      {"rows_found", {{"done", merge.counts().done}, {"failed", merge.counts().failed}}}};
  std::vector<std::string> command = {"gridmill", "merge"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  record["command_line"] = command;
  std::vector<std::string> merged;
  std::optional<Json> newest;
  for (const std::string& part : files.parts) {
    merged.push_back(std::filesystem::absolute(part).string());
    std::optional<Json> run = last_run(part);
    const auto start_of = [](const Json& of) { return of.value("start", Json("")).dump(); };
    if (run && (!newest || start_of(*newest) < start_of(*run))) newest = std::move(run);
  }
  for (const char* place : {"model", "prompts"}) {
    if (newest && newest->contains(place)) record[place] = (*newest)[place];
  }
  record["merged"] = merged;
  record["end"] = utc_timestamp();
  record["exit_code"] =
      static_cast<int>(merge.missing() == 0 ? ExitCode::ok : ExitCode::stopped_early);
  return record;
}

std::string shown(const std::vector<PromptRange>& ranges) {
  constexpr std::size_t kMostShown = 20;
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < std::min(ranges.size(), kMostShown); ++i) {
    const PromptRange& range = ranges[i];
    texts.push_back(range.count == 1
                        ? fmt::format("{}", range.first)
                        : fmt::format("{} to {}", range.first, range.first + range.count - 1));
  }
  if (ranges.size() > kMostShown) {
    texts.push_back(fmt::format("and {} more ranges", ranges.size() - kMostShown));
  }
  return fmt::format("{}", fmt::join(texts, ", "));
}

ExitCode conclude(const MergeFiles& files, const ResultMerge& merge) {
  const MergeCounts& counts = merge.counts();
  std::fputs(fmt::format("{}: {} of {} rows done, {} failed, {} missing; {} files joined, {} rows "
                         "were in more than one\n",
                         files.output, counts.done, merge.rows(), counts.failed, merge.missing(),
                         files.parts.size(), counts.repeated)
                 .c_str(),
             stdout);
  if (merge.missing() == 0) return ExitCode::ok;
  log::warn(
      "{} rows are missing, of prompts {}; bring their parts to their end and merge again, or give "
      "{} to gridmill generate, which makes the rest",
      merge.missing(), shown(merge.missing_prompts()), files.output);
  return ExitCode::stopped_early;
}

}  // namespace

ExitCode run_merge(const Arguments& arguments, const MpiSession* /*session*/) {
  MergeFiles files;
  CommandSyntax syntax{
      .name = "merge",
      .example = "Example: gridmill merge out.h5 part-*.h5",
      .summary =
          "Joins result files of one job, made with --part: gridmill merge OUT.h5 PART.h5...\n"
          "With all rows OUT.h5 has the bytes of an undivided job. Exit code 75: rows are "
          "missing."};
  auto positional = syntax.arguments.add_options();
  positional("out", po::value(&files.output)->required());
  positional("part", po::value(&files.parts)->required());
  syntax.positional.add("out", 1).add("part", -1);
  if (!parse(syntax, arguments)) return ExitCode::ok;

  const std::string start = utc_timestamp();
  const ResultFile first = ResultFile::open(files.parts.front(), ResultFile::Origin::anywhere);
  check_output(files, first.layout().shape.scores != 0);
  const RunLock lock = RunLock::acquire(files.output);
  ResultMerge merge(files.output, first);
  std::vector<std::string> logs;
  if (std::filesystem::exists(files.output)) logs.push_back(files.output);
  add_existing(files.output, first, merge);
  for (const std::string& part : files.parts) {
    add_part(part, merge);
    logs.push_back(part);
  }
  RunGuard(files.output, lock.epoch()).check();
  merge.publish();
  join_run_logs(files.output, logs, record_of(files, start, arguments, merge));
  return conclude(files, merge);
}

}  // namespace gridmill::cli
