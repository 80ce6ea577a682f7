#pragma once

#include <map>
#include <string>

#include "gridmill/job/job_config.hpp"

namespace gridmill::job_detail {

/// Takes the settings of --generation-config from the model's generation_config.json, unless given
/// by the user; one line names the settings that were taken, or are not in effect.
/// @param files  of the checkpoint.
/// @throws FormatError for a file that is no JSON object, or a value out of range.
void apply_generation_config(JobConfig& config, const std::map<std::string, std::string>& files);

}  // namespace gridmill::job_detail
