#pragma once

#include "gridmill/base/json.hpp"
#include "gridmill/job/job_config.hpp"

namespace gridmill::job_detail {

/// Adds the options of a job that influence rows and are not in the tables of sampling and prompt
/// options to `job`, the identity of a run. Options that older files lack are left out if they have
/// their defaults, so that those files can be continued.
void write_job_fields(const JobConfig& config, Json& job);
/// Reads the output of write_job_fields(). @throws Json::exception
void read_job_fields(const Json& job, JobConfig& config);

}  // namespace gridmill::job_detail
