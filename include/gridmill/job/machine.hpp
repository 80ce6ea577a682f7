#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "gridmill/grid/grid.hpp"
#include "gridmill/kernels/backend.hpp"
#include "gridmill/params/parameter_spec.hpp"

namespace gridmill {

/// Cores in this process's mask, divided by the ranks of the node that have the same mask; at
/// least 1. Collective over the node.
[[nodiscard]] int threads_for_rank(const Grid& grid);

/// What the sequences of a replica need on one rank.
struct SequenceNeeds {
  int slots = 0;  ///< as asked for; 0 = as many as fit
  std::int64_t max_length = 1;
  std::size_t bytes_per_slot = 0;  ///< of a sequence of max_length
  bool fixed_size = false;         ///< whatever its length
};

/// Sequences in flight, and the pool of positions they share (GeneratorOptions).
struct SlotPlan {
  int slots = 0;
  std::int64_t pool_positions = 0;  ///< 0 = every slot has room of its own
  std::int64_t longest = 0;         ///< positions that a sequence of the longest length takes of it
  /// Slots that can all reach the longest length.
  [[nodiscard]] int whole_slots() const {
    return pool_positions == 0
               ? slots
               : static_cast<int>(std::min<std::int64_t>(slots, pool_positions / longest));
  }
  friend bool operator==(const SlotPlan&, const SlotPlan&) = default;
};

/// As many slots as are worth having and fit. Where the KV cache is one pool, it takes what states
/// may take (but no more than the slots can use), and slots are not limited by the longest length:
/// rows take pages as they grow.
/// @throws ResourceError if not even one sequence fits, or asked-for ones of fixed size do not.
[[nodiscard]] SlotPlan plan_slots(const StateBudget& budget, const SequenceNeeds& needs);

/// The same for a replica: the least of all ranks. Collective over the world, equal everywhere.
[[nodiscard]] SlotPlan plan_slots_together(const Grid& grid, const StateBudget& budget,
                                           const SequenceNeeds& needs);

/// Bytes that a pass of `rows` rows takes at most beside parameters and states: inputs and outputs
/// of every product of the largest unit.
[[nodiscard]] std::uint64_t workspace_bytes(const ModelParameters& parameters, std::int64_t rows);

}  // namespace gridmill
