#pragma once

#include "cli/options.hpp"
#include "gridmill/job/job_config.hpp"

namespace gridmill::cli {

/// Grid, thread, dtype and backend options, shared by generate, verify and score.
[[nodiscard]] po::options_description run_options(RunOptions& run);
/// @throws UsageError for values outside their range.
void check_run_options(const RunOptions& run);

}  // namespace gridmill::cli
