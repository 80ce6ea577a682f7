#include "gridmill/job/machine.hpp"

#include <sched.h>

#include <algorithm>
#include <vector>

#include "gridmill/grid/collectives.hpp"

namespace gridmill {

int threads_for_rank(const Grid& grid) {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (sched_getaffinity(0, sizeof(mask), &mask) != 0) return 1;
  const std::vector<cpu_set_t> masks = all_gather(grid.node(), mask);
  const auto sharers = std::count_if(masks.begin(), masks.end(), [&mask](const cpu_set_t& other) {
    return CPU_EQUAL(&other, &mask) != 0;
  });
  return std::max(1, CPU_COUNT(&mask) / std::max(1, static_cast<int>(sharers)));
}

SlotPlan least_plan(const Grid& grid, const SlotPlan& mine) {
  SlotPlan least = mine;
  for (const SlotPlan& other : all_gather(grid.world(), mine)) {
    least.slots = std::min(least.slots, other.slots);
    least.pool_positions = std::min(least.pool_positions, other.pool_positions);
    least.pass_rows = std::min(least.pass_rows, other.pass_rows);
    least.prefixes = std::min(least.prefixes, other.prefixes);
    least.prefix_positions = std::min(least.prefix_positions, other.prefix_positions);
  }
  return least;
}

}  // namespace gridmill
