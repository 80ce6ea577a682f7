#pragma once

#include "gridmill/base/error.hpp"
#include "gridmill/job/job_config.hpp"
#include "gridmill/job/run_context.hpp"

namespace gridmill::job_detail {

/// `--lockstep`: whole fixed batches through generate_tokens. Collective over the world.
[[nodiscard]] ExitCode run_lockstep(const JobConfig& config, RunContext& context);

}  // namespace gridmill::job_detail
