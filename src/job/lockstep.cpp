#include "job/lockstep_detail.hpp"

namespace gridmill::job_detail {

ExitCode run_lockstep(const JobConfig& /*config*/, RunContext& /*context*/) {
  throw UsageError("--lockstep is not built into this version of gridmill");
}

}  // namespace gridmill::job_detail
