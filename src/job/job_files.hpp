#pragma once

#include "gridmill/job/job_config.hpp"

namespace gridmill::job_detail {

/// Local, rank 0: what the job writes (--output, --metrics) must not be what it reads, nor each
/// other. @throws UsageError, OutputError
void check_job_files(const JobConfig& config);

}  // namespace gridmill::job_detail
