#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gridmill/base/clock.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/log.hpp"
#include "gridmill/base/printable.hpp"
#include "gridmill/base/process.hpp"
#include "gridmill/build_info/version.hpp"
#include "gridmill/grid/collectives.hpp"
#include "gridmill/results/recovery.hpp"
#include "gridmill/results/row.hpp"
#include "job/run_report_detail.hpp"

namespace gridmill::job_detail {

namespace {

OrderedJson beginning_of(const JobConfig& config, RunContext& context, const Output& output) {
  const std::string metrics =
      config.metrics.empty() ? "" : std::filesystem::absolute(config.metrics).string();
  const GridShape grid = context.grid().shape();
  std::uint64_t rows_to_do = 0;
  for (const RowRange& range : output.to_do) rows_to_do += range.count;
  OrderedJson record = {{"start", utc_timestamp()},
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
                        {"metrics", metrics},
                        {"rows_to_do", rows_to_do},
                        {"rows_found",
                         {{"done", output.found.done},
                          {"failed", output.found.failed},
                          {"partial", output.found.partial},
                          {"damaged", output.found.damaged}}}};
  if (config.part) record["part"] = to_text(*config.part);
  return record;
}

/// Counts in the file at the end; the records were checked when they were written.
struct FinalCounts {
  std::uint64_t done = 0;
  std::uint64_t failed = 0;
  std::uint64_t unfinished = 0;
  std::uint64_t elsewhere = 0;  ///< done or failed, outside the range of this run
  std::string first_failure;    ///< "row N: why"
};

FinalCounts count_final(const JobConfig& config, const Output& output) {
  const std::unique_ptr<RowFile> file = open_row_file(config.output, false);
  FinalCounts counts;
  const std::vector<RowState> states =
      scan_rows(*file, output.layout, 0, output.layout.shape.rows, {.payload = false});
  for (std::size_t row = 0; row < states.size(); ++row) {
    const bool finished = states[row] == RowState::failed || states[row] == RowState::done;
    if (row < output.range.first || row >= output.range.first + output.range.count) {
      counts.elsewhere += finished ? 1 : 0;
      continue;
    }
    if (states[row] == RowState::failed && counts.failed++ == 0) {
      counts.first_failure =
          fmt::format("row {}: {}", row, read_row(*file, output.layout, row).failure);
    }
    counts.done += states[row] == RowState::done ? 1 : 0;
    counts.unfinished += finished ? 0 : 1;
  }
  return counts;
}

/// What a file holds that is a part of a job.
void tell_part(const JobConfig& config, const Output& output, const FinalCounts& counts) {
  log::info(
      "{} holds part {} of {}: {} of its {} rows are done, {} failed; of the {} rows of other "
      "parts it holds {}. gridmill merge joins parts",
      config.output, config.part->number, config.part->of, counts.done, output.range.count,
      counts.failed, output.layout.shape.rows - output.range.count, counts.elsewhere);
}

ExitCode verdict(const JobConfig& config, const FinalCounts& counts) {
  if (counts.unfinished > 0) {
    log::warn("stopped early: {} rows remain; run the same command again", counts.unfinished);
    return ExitCode::stopped_early;
  }
  if (counts.failed > 0) {
    log::warn("{} failed rows in {} (the first: {}); gridmill export --only failed shows why",
              counts.failed, config.output, counts.first_failure);
    if (!config.allow_failed_rows) return ExitCode::failed_rows;
  }
  return ExitCode::ok;
}

}  // namespace

RunRecord::RunRecord(const JobConfig& config, RunContext& context, const Output& output)
    : log_(config.output) {
  const Communicator& world = context.grid().world();
  std::string text;
  std::uint64_t begun_at = 0;
  agree_on(world, [&] {
    if (world.rank() != 0) return;
    record_ = beginning_of(config, context, output);
    log_.begin(record_);
    text = record_.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
    begun_at = log_.begun_at();
  });
  broadcast(world, 0, text);
  broadcast(world, 0, begun_at);
  if (world.rank() == 0) return;
  record_ = OrderedJson::parse(text);
  log_ = RunLog(config.output, begun_at);
}

void RunRecord::finish(ExitCode code) {
  OrderedJson complete = record_;
  complete["end"] = utc_timestamp();
  complete["exit_code"] = static_cast<int>(code);
  log_.finish(complete);
}

void RunRecord::finish_failed(const Error& error) noexcept {
  if (error.code() == ExitCode::output_refused) return;  // lost to another run, whose log it is now
  try {
    OrderedJson complete = record_;
    complete["error"] = error.what();
    std::swap(record_, complete);
    finish(error.code());
  } catch (const std::exception& second) {
    log::each_rank(log::Level::warn, "the run log is not complete: {}", second.what());
  }
}

void abort_with(const Error& error, RunRecord* record) {
  std::fputs(fmt::format("gridmill: error: {}\n", printable(error.what())).c_str(), stderr);
  if (record != nullptr) record->finish_failed(error);
  abort_job(error.code());
}

ExitCode conclude(const JobConfig& config, const Output& output, RunRecord& record) {
  const FinalCounts counts = count_final(config, output);
  if (config.part) tell_part(config, output, counts);
  const ExitCode code = verdict(config, counts);
  record.finish(code);
  return code;
}

}  // namespace gridmill::job_detail
