#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "gridmill/job/job_config.hpp"
#include "gridmill/job/job_plan.hpp"
#include "gridmill/job/lease_queue.hpp"
#include "gridmill/job/run_context.hpp"
#include "gridmill/results/layout.hpp"
#include "gridmill/results/run_lock.hpp"

namespace gridmill::job_detail {

/// How many rows of a range are in which state. Trivially copyable.
struct RowCounts {
  std::uint64_t done = 0;
  std::uint64_t failed = 0;
  std::uint64_t partial = 0;
  std::uint64_t missing = 0;
  std::uint64_t damaged = 0;
};

/// The shared result file, open for this run on every rank.
struct Output {
  ResultLayout layout;
  RunEpoch epoch;
  RowRange range;               ///< what this run does (JobPlan::range)
  RowCounts found;              ///< in the range, when this run began
  std::optional<RunLock> lock;  ///< rank 0
  std::vector<RowRange> to_do;  ///< rank 0: rows that this run has to generate
};

/// Collective: rank 0 takes the lock, creates the file or checks that it belongs to this job, and
/// judges every row (damaged ones are emptied, to be generated again).
/// @throws on every rank the same: OutputError, MissingInputError, FormatError, IoError.
[[nodiscard]] Output open_output(const JobConfig& config, const JobPlan& plan, RunContext& context);

/// Whether `valid` says which tokens of a scored row count; else all do.
[[nodiscard]] inline bool counts_some(const ScoreOptions& score) {
  return score.assistant || !score.from.empty();
}

/// Check of a store of this run before each commit (RunGuard::check). Holds no reference.
[[nodiscard]] std::function<void()> ownership_check(const JobConfig& config, const Output& output);

}  // namespace gridmill::job_detail
