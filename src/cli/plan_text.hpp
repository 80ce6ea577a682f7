#pragma once

#include <string>
#include <vector>

#include "cli/options.hpp"
#include "cli/plan_options.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/job/job_config.hpp"
#include "gridmill/plan/grid_plan.hpp"

namespace gridmill::cli {

/// A plan and what it was made of.
struct PlanReport {
  const PlanRequest& request;
  PlanMachine machine;
  std::string source;         ///< the model's file
  bool is_checkpoint = true;  ///< else a config.json
  const JobConfig& config;
  std::vector<std::string> notes;  ///< what was assumed, a sentence each
  std::vector<GridPlan> grids;     ///< the best first; not empty
  int top = 5;
  Arguments arguments;  ///< for `gridmill generate`, without the grid
};

/// The shell line that starts the job under Slurm on that grid.
[[nodiscard]] std::string sbatch_line(const PlanReport& report, const GridPlan& plan);
/// For people.
[[nodiscard]] std::string plan_text(const PlanReport& report);
/// One object (docs/plan.md).
[[nodiscard]] OrderedJson plan_json(const PlanReport& report);

}  // namespace gridmill::cli
