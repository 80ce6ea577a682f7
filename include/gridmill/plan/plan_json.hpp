#pragma once

#include "gridmill/base/json.hpp"
#include "gridmill/plan/grid_plan.hpp"

namespace gridmill {

/// Fields of one grid in `gridmill plan --json` (docs/plan.md).
[[nodiscard]] OrderedJson to_json(const GridPlan& plan);

}  // namespace gridmill
