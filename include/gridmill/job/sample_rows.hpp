#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gridmill/checkpoint/checkpoint_file.hpp"
#include "gridmill/generate/pass_simulation.hpp"
#include "gridmill/job/job_config.hpp"
#include "gridmill/job/job_plan.hpp"
#include "gridmill/model/model.hpp"

namespace gridmill {

/// What the rows of a job will be like, without running it.
// NOLINTNEXTLINE(bugprone-exception-escape): the analyser cannot see through Json's move
struct SampledRows {
  JobPlan plan;
  /// Of some prompts, evenly spaced, in their order: tokens as they will be fed, and those that
  /// their limits allow behind them.
  std::vector<RowLength> lengths;
  std::uint64_t bad_prompts = 0;  ///< of those looked at, that make failed rows
  std::uint64_t looked_at = 0;
};

/// Reads the prompts of a job as `generate` does, on one process: all for their number, some to
/// learn how long they are.
/// @param config      prompts are given.
/// @param numerics_id  of the backend.
/// @throws as run_job() until it has looked at the first prompts.
[[nodiscard]] SampledRows sample_rows(const JobConfig& config, const CheckpointFile& checkpoint,
                                      const Model& model, const std::string& numerics_id);

}  // namespace gridmill
