#pragma once

#include <span>
#include <vector>

#include "gridmill/base/ids.hpp"
#include "gridmill/base/tensor_view.hpp"

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
/// The same for every row of [B, V]: B ids.
[[nodiscard]] std::vector<TokenId> greedy_sampling(TensorView<const float, 2> logits);

}  // namespace gridmill
