#pragma once

#include "gridmill/base/error.hpp"
#include "gridmill/job/job_config.hpp"

namespace gridmill {

/// One run of `gridmill generate`, from start to exit code. Collective over every rank; MPI must be
/// initialised.
///
/// An error before the loop is thrown on every rank alike. One inside the loop is reported by the
/// rank that met it and ends every process of the job (finished rows are safe).
/// @return ok, failed_rows, or stopped_early, the same on every rank.
[[nodiscard]] ExitCode run_job(const JobConfig& config);

}  // namespace gridmill
