#pragma once

#include <optional>
#include <string>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/base/ids.hpp"
#include "gridmill/job/job_config.hpp"

namespace gridmill {

/// One run of `gridmill verify`. Rows: those named, or a sample, or all that there are.
struct VerifyConfig {
  /// Grid, threads, backend. The dtypes `checkpoint` and `auto` mean those of the job.
  RunOptions run;
  std::string file;  ///< result file
  std::string prompts;
  std::vector<RowId> rows;
  std::optional<double> sample_percent;
};

/// Generates rows of a result file again, on this grid and backend, and compares every bit of them;
/// checks the crcs of all rows. Prints a line `row N: ...` for each row that is damaged or differs,
/// and a summary, to stdout of rank 0. Collective over every rank; the file is only read.
/// @return ok, or failed_rows if some row is damaged or differs, or a row asked for by number is
/// not generated yet.
/// @throws on every rank the same: FormatError if model or prompts are not those of the job, or
/// this backend's numerics are not; UsageError for rows that the file does not have.
[[nodiscard]] ExitCode run_verify_job(const VerifyConfig& config);

}  // namespace gridmill
