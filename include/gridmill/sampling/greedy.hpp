#pragma once

#include <span>

#include "gridmill/base/ids.hpp"

namespace gridmill {

/// Picks the most likely token.
///
/// @param logits  unnormalised log-probabilities, [V], V >= 1; a NaN counts as the largest, the
/// first NaN wins.
/// @return index of the largest value; the lowest index wins a tie, so that a split vocabulary
/// agrees with a whole one.
/// @throws UsageError if `logits` is empty.
/// Source: `greedy_sampling` in NX-AI/xlstm-jax.
[[nodiscard]] TokenId greedy_sampling(std::span<const float> logits);

}  // namespace gridmill
