#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

#include "gridmill/base/clock.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/log.hpp"
#include "gridmill/job/machine.hpp"
#include "gridmill/job/version.hpp"
#include "gridmill/results/recovery.hpp"
#include "job/run_report_detail.hpp"

namespace gridmill::job_detail {

void abort_with(const Error& error) {
  std::fputs(fmt::format("gridmill: error: {}\n", error.what()).c_str(), stderr);
  abort_job(error.code());
}

OrderedJson run_record(const JobConfig& config, RunContext& context, const Output& output) {
  const GridShape grid = context.grid().shape();
  std::uint64_t rows_to_do = 0;
  for (const RowRange& range : output.to_do) rows_to_do += range.count;
  return {{"start", utc_timestamp()},
          {"host", host_name()},
          {"epoch", output.epoch.number},
          {"version", version()},
          {"git", git_hash()},
          {"grid", {{"dp", grid.dp}, {"fsdp", grid.fsdp}, {"tp", grid.tp}}},
          {"nodes", context.grid().nodes()},
          {"backend", context.backend().name()},
          {"kernel_target", context.backend().target()},
          {"command_line", config.command_line},
          {"model", std::filesystem::absolute(config.run.model).string()},
          {"prompts", std::filesystem::absolute(config.prompts).string()},
          {"rows_to_do", rows_to_do},
          {"rows_found",
           {{"done", output.found.done},
            {"failed", output.found.failed},
            {"partial", output.found.partial},
            {"damaged", output.found.damaged}}}};
}

namespace {

/// What the file says at the end; the records were checked when they were written.
struct FinalCounts {
  std::uint64_t failed = 0;
  std::uint64_t unfinished = 0;
};

FinalCounts count_final(const JobConfig& config, const Output& output) {
  const std::unique_ptr<RowFile> file = open_row_file(config.output, false);
  FinalCounts counts;
  for (const RowState state :
       scan_rows(*file, output.layout, 0, output.layout.shape.rows, {.payload = false})) {
    if (state == RowState::failed) ++counts.failed;
    if (state != RowState::failed && state != RowState::done) ++counts.unfinished;
  }
  return counts;
}

ExitCode verdict(const JobConfig& config, const FinalCounts& counts) {
  if (counts.unfinished > 0) {
    log::warn("stopped early: {} rows remain; run the same command again", counts.unfinished);
    return ExitCode::stopped_early;
  }
  if (counts.failed > 0) {
    log::warn("{} failed rows in {}; gridmill export --only failed shows why", counts.failed,
              config.output);
    if (!config.allow_failed_rows) return ExitCode::failed_rows;
  }
  return ExitCode::ok;
}

}  // namespace

ExitCode conclude(const JobConfig& config, const Output& output, RunLog& log, OrderedJson record) {
  const ExitCode code = verdict(config, count_final(config, output));
  record["end"] = utc_timestamp();
  record["exit_code"] = static_cast<int>(code);
  log.finish(record);
  return code;
}

}  // namespace gridmill::job_detail
