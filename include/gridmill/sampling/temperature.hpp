#pragma once

#include <vector>

#include "gridmill/base/ids.hpp"
#include "gridmill/base/tensor_view.hpp"
#include "gridmill/base/threefry.hpp"

namespace gridmill {

/// Draws one token a row from softmax(logits / temperature), with JAX's random numbers: Gumbel-max,
/// the words of `key` assigned to [B, V] in row-major order. In the classic layout a row's noise
/// therefore depends on B.
///
/// @param logits  [B, V], V >= 1; a NaN score counts as the largest, as in greedy_sampling.
/// @param temperature  0 = greedy, the key is not used; negative values prefer unlikely tokens.
/// @param layout  of the counters; classic is JAX's default before 0.5.
/// @return B ids; the lowest id wins a tie.
/// @throws UsageError if V is 0 or `temperature` is not finite.
/// Source: `temperature_sampling` in NX-AI/xlstm-jax, jax.random.categorical.
[[nodiscard]] std::vector<TokenId> temperature_sampling(
    TensorView<const float, 2> logits, JaxKey key, float temperature = 1.0F,
    ThreefryLayout layout = ThreefryLayout::classic);

}  // namespace gridmill
