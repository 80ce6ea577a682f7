#pragma once

#include "gridmill/base/error.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/job/job_config.hpp"
#include "gridmill/job/run_context.hpp"
#include "gridmill/results/run_log.hpp"
#include "job/output_detail.hpp"

namespace gridmill::job_detail {

/// Reports an error of one rank alone and ends the job: other ranks may be inside a collective
/// call.
[[noreturn]] void abort_with(const Error& error);

/// What differs between equal jobs, for OUT.h5.runs.jsonl.
[[nodiscard]] OrderedJson run_record(const JobConfig& config, RunContext& context,
                                     const Output& output);

/// Rank 0, when every rank has closed its store: counts what the file says, tells the user, and
/// completes the run's record.
[[nodiscard]] ExitCode conclude(const JobConfig& config, const Output& output, RunLog& log,
                                OrderedJson record);

}  // namespace gridmill::job_detail
