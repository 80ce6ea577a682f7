#pragma once

#include <cstdint>

#include "cli/options.hpp"
#include "gridmill/job/job_config.hpp"

namespace gridmill::cli {

/// Whether --prompts and --output have to be given.
enum class Files : std::uint8_t { required, optional };
/// Every option of `gridmill generate` that is not a run option.
[[nodiscard]] po::options_description generate_options(JobConfig& config,
                                                       Files files = Files::required);
/// @throws UsageError for values outside their range or that contradict each other.
void check_generate_options(const JobConfig& config);

/// Those of `gridmill score`, and how it runs.
[[nodiscard]] po::options_description score_options(JobConfig& config);
/// @throws UsageError as above.
void check_score_options(const JobConfig& config);

}  // namespace gridmill::cli
