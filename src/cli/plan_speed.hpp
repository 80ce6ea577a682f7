#pragma once

#include <string>
#include <vector>

#include "gridmill/base/json.hpp"
#include "gridmill/kernels/backend.hpp"
#include "gridmill/plan/grid_plan.hpp"

namespace gridmill::cli {

/// Limits of a node out of `path`: a line of bench (the last one), or what plan --json has printed.
/// @throws FormatError if a limit is missing that the backend's products need; MissingInputError.
[[nodiscard]] PlanSpeed speed_from_file(const std::string& path, const Backend& backend);

/// Measures this machine and runs a short job like `request` on random weights.
/// @param config  gridmill's own configuration of the model.
/// @param notes   gets a sentence if the job ran with fewer layers.
/// @throws as calibrate()
[[nodiscard]] PlanSpeed measured_speed(const Json& config, Backend& backend,
                                       const PlanRequest& request, std::vector<std::string>& notes);

}  // namespace gridmill::cli
