#pragma once

#include "gridmill/base/json.hpp"
#include "gridmill/job/job_config.hpp"

namespace gridmill::job_detail {

/// Adds the options of a job that influence rows and are not in the tables of sampling and prompt
/// options to `job`, the identity of a run. What older files do not know is left out where it has
/// its default, so that those files go on.
void write_job_fields(const JobConfig& config, Json& job);
/// Reads the output of write_job_fields(). @throws Json::exception
void read_job_fields(const Json& job, JobConfig& config);

}  // namespace gridmill::job_detail
