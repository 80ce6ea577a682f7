#include <filesystem>
#include <functional>
#include <utility>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/log.hpp"
#include "gridmill/build_info/version.hpp"
#include "gridmill/grid/collectives.hpp"
#include "gridmill/results/recovery.hpp"
#include "gridmill/results/result_file.hpp"
#include "gridmill/results/result_store.hpp"
#include "job/output_detail.hpp"

namespace gridmill::job_detail {

namespace {

void refuse_shared_network_writes(const std::string& output, int nodes) {
  if (nodes > 1 && on_network_file_system(output)) {
    throw OutputError(
        fmt::format("{} lies on NFS and {} nodes would write it: NFS clients cache whole pages and "
                    "can lose each "
                    "other's rows; use a cluster file system, or one node",
                    output, nodes));
  }
}

void create_or_check(const JobConfig& config, const JobPlan& plan, const ResultShape& shape) {
  const JobIdentity identity{plan.identity};
  const bool exists = std::filesystem::exists(config.output);
  if (!exists) {
    if (config.resume == "require") {
      throw MissingInputError(fmt::format("--resume=require, but there is no {}", config.output));
    }
    ResultFile::create(config.output, identity, shape, version());
    return;
  }
  if (config.resume == "never") {
    throw OutputError(fmt::format(
        "{} exists and --resume is never; name another output or remove it", config.output));
  }
  // A file of an older version goes on as it is; its job has no option that needs a newer one.
  ResultShape older = shape;
  older.version = 1;
  if (!ResultFile::restore(config.output, identity, shape, version()) && shape.scores == 0) {
    ResultFile::restore(config.output, identity, older, version());
  }
  const ResultFile file = ResultFile::open(config.output);
  file.require_same_job(identity, file.layout().shape.version == 1 ? older : shape);
}

/// Judges every row of a file that may have seen crashes, and empties what is damaged. Counts and
/// orders what lies in the range of this run.
void recover(const JobConfig& config, int threads, Output& output) {
  const ResultFile file = ResultFile::open(config.output);
  output.layout = file.layout();
  const std::uint64_t rows = output.layout.shape.rows;
  const std::vector<RowState> states =
      scan_rows(file.rows(), output.layout, 0, rows, {.threads = threads, .payload = true});
  const std::vector<RowId> damaged = rows_in_state(states, RowState::damaged);
  if (!damaged.empty()) {
    log::warn("{} damaged rows in {} (first: row {}): they are emptied, to be generated again",
              damaged.size(), config.output, damaged.front());
    ResultStore store = ResultStore::open(
        config.output, output.layout,
        {.on_durable = nullptr, .check_ownership = ownership_check(config, output)});
    store.discard(damaged);
    store.close();
  }
  std::vector<bool> to_do(rows);
  const std::uint64_t end = output.range.first + output.range.count;
  for (std::uint64_t row = output.range.first; row < end; ++row) {
    switch (states[row]) {
      case RowState::done:
        ++output.found.done;
        break;
      case RowState::failed:
        ++output.found.failed;
        to_do[row] = config.retry_failed;
        break;
      case RowState::partial:
        ++output.found.partial;
        to_do[row] = true;
        break;
      case RowState::damaged:
        ++output.found.damaged;
        [[fallthrough]];
      case RowState::missing:
        ++output.found.missing;
        to_do[row] = true;
        break;
    }
  }
  output.to_do = ranges_of(to_do);
}

}  // namespace

std::function<void()> ownership_check(const JobConfig& config, const Output& output) {
  return [guard = RunGuard(config.output, output.epoch)] { guard.check(); };
}

Output open_output(const JobConfig& config, const JobPlan& plan, RunContext& context) {
  Output output;
  output.range = plan.range;
  const Communicator& world = context.grid().world();
  const int nodes = context.grid().nodes();
  agree_on(world, [&] {
    if (world.rank() != 0) return;
    output.lock.emplace(RunLock::acquire(config.output));
    output.epoch = output.lock->epoch();
    create_or_check(config, plan, result_shape(config, plan, context.model().info().vocab_size));
    refuse_shared_network_writes(config.output, nodes);
    recover(config, context.threads(), output);
  });
  broadcast(world, 0, output.layout);
  broadcast(world, 0, output.epoch);
  broadcast(world, 0, output.found);
  return output;
}

}  // namespace gridmill::job_detail
