#pragma once

#include <utility>

#include "gridmill/base/error.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/grid/collectives.hpp"
#include "gridmill/job/job_config.hpp"
#include "gridmill/job/run_context.hpp"
#include "gridmill/results/run_log.hpp"
#include "job/output_detail.hpp"

namespace gridmill::job_detail {

/// This run's line in OUT.h5.runs.jsonl: facts that differ between equal jobs. Every rank has it,
/// since any of them may be the one that ends the job.
class RunRecord {
 public:
  /// Collective: rank 0 appends the record of a run that begins. @throws OutputError, IoError
  RunRecord(const JobConfig& config, RunContext& context, const Output& output);
  /// Completes the record; one rank does. @throws IoError
  void finish(ExitCode code);
  /// The same on the way out of a failing job: where even this fails, the record stays without an
  /// end. Leaves the log alone if another run has taken the output over.
  void finish_failed(const Error& error) noexcept;

 private:
  OrderedJson record_;
  RunLog log_;
};

/// Collective: agree_on() for a stage of a run that has begun; if it fails, so does the record.
template <typename Stage>
auto agree_and_record(const Communicator& world, RunRecord& record, Stage&& stage) {
  try {
    return agree_on(world, std::forward<Stage>(stage));
  } catch (const Error& error) {
    if (world.rank() == 0) record.finish_failed(error);
    throw;
  }
}

/// Reports an error of one rank alone and ends the job: other ranks may be inside a collective
/// call. @param record  to be completed, if the run has begun.
[[noreturn]] void abort_with(const Error& error, RunRecord* record = nullptr);

/// Rank 0, when every rank has closed its store: counts the file's rows, prints the counts, and
/// completes the run's record.
[[nodiscard]] ExitCode conclude(const JobConfig& config, const Output& output, RunRecord& record);

}  // namespace gridmill::job_detail
