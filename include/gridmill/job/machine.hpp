#pragma once

#include "gridmill/generate/slot_plan.hpp"
#include "gridmill/grid/grid.hpp"

namespace gridmill {

/// Cores in this process's mask, divided by the ranks of the node that have the same mask; at
/// least 1. Collective over the node.
[[nodiscard]] int threads_for_rank(const Grid& grid);

/// The plan that fits on every rank. Collective over the world, equal everywhere.
[[nodiscard]] SlotPlan least_plan(const Grid& grid, const SlotPlan& mine);

}  // namespace gridmill
