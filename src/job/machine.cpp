#include "gridmill/job/machine.hpp"

#include <sched.h>

#include <algorithm>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
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

SlotPlan plan_slots(const StateBudget& budget, const SequenceNeeds& needs) {
  const bool pooled = budget.pooled && !needs.fixed_size;
  const int wanted = needs.slots > 0 ? needs.slots : budget.most_slots;
  // On the host pages come when they are touched: what was asked for is taken.
  if (!budget.known || (needs.slots > 0 && !budget.pooled)) return {.slots = wanted};
  const std::uint64_t per_slot = std::max<std::size_t>(needs.bytes_per_slot, 1);
  const std::uint64_t fit = budget.bytes / per_slot;
  const auto mib = [](std::uint64_t bytes) { return static_cast<double>(bytes) / (1 << 20); };
  if (fit == 0) {
    throw ResourceError(fmt::format(
        "not enough memory: one sequence needs {:.1f} MiB a rank and a rank may take {:.1f} MiB; "
        "lower --max-length, use fewer ranks a node, or raise --tp",
        mib(per_slot), mib(budget.bytes)));
  }
  if (!pooled) {
    if (needs.slots > 0 && fit < static_cast<std::uint64_t>(wanted)) {
      throw ResourceError(fmt::format(
          "not enough memory: --slots {} need {:.1f} MiB a rank and a rank may take {:.1f} MiB, "
          "enough for {}",
          wanted, mib(per_slot * static_cast<std::uint64_t>(wanted)), mib(budget.bytes), fit));
    }
    return {.slots = static_cast<int>(std::min<std::uint64_t>(fit, wanted))};
  }
  // Whole pages; a row of the longest length has to fit.
  const std::int64_t longest =
      (needs.max_length + kKvPagePositions - 1) / kKvPagePositions * kKvPagePositions;
  const double bytes_per_position =
      static_cast<double>(per_slot) / static_cast<double>(needs.max_length);
  const auto room =
      static_cast<std::int64_t>(static_cast<double>(budget.bytes) / bytes_per_position) /
      kKvPagePositions * kKvPagePositions;
  if (room < longest) {
    throw ResourceError(fmt::format(
        "not enough memory: a sequence of {} tokens needs {:.1f} MiB a rank and a rank may take "
        "{:.1f} MiB; lower --max-length, use fewer ranks a device, or raise --tp",
        longest, static_cast<double>(longest) * bytes_per_position / (1 << 20), mib(budget.bytes)));
  }
  return {.slots = wanted, .pool_positions = std::min(room, longest * wanted), .longest = longest};
}

SlotPlan plan_slots_together(const Grid& grid, const StateBudget& budget,
                             const SequenceNeeds& needs) {
  const SlotPlan mine = agree_on(grid.world(), [&] { return plan_slots(budget, needs); });
  SlotPlan least = mine;
  for (const SlotPlan& other : all_gather(grid.world(), mine)) {
    least.slots = std::min(least.slots, other.slots);
    least.pool_positions = std::min(least.pool_positions, other.pool_positions);
  }
  return least;
}

std::uint64_t workspace_bytes(const ModelParameters& parameters, std::int64_t rows) {
  std::int64_t largest = 0;
  for (const UnitSpec& unit : parameters.units) {
    std::int64_t elements = 0;
    for (const MatrixSpec& matrix : unit.matrices) {
      if (matrix.layout != MatrixLayout::panels) continue;
      // Twice: a product's output may be kept beside its partial sums.
      elements += 2 * matrix.shape.outputs + matrix.shape.inputs;
    }
    largest = std::max(largest, elements);
  }
  return static_cast<std::uint64_t>(largest * rows) * sizeof(float);
}

}  // namespace gridmill
