#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <variant>
#include <vector>

#include "gridmill/base/ids.hpp"
#include "gridmill/base/tensor_view.hpp"
#include "gridmill/base/threefry.hpp"

namespace gridmill {

/// JAX's random numbers: one key, split at every step.
struct JaxRandom {
  JaxKey key;
  ThreefryLayout layout = ThreefryLayout::classic;
  /// The key already belongs to this data shard: it came out of an earlier call.
  bool folded = false;
};

/// gridmill's own: counter-based, a pure function of seed, prompt and position.
struct PhiloxRandom {
  std::uint64_t seed = 0;
  PromptId first_prompt = 0;  ///< prompt index of row 0 of this rank's batch
};

using RandomSource = std::variant<JaxRandom, PhiloxRandom>;

/// Random numbers of a sampler in one step. With JAX the key is the step's own.
struct StepRandom {
  RandomSource source;
  std::span<const std::uint32_t> positions;  ///< [B] absolute position of each drawn token
};

/// Picks one token a row from logits [B, V]; any callable will do.
using TokenSampler =
    std::function<std::vector<TokenId>(TensorView<const float, 2> logits, const StepRandom&)>;

/// The seed's greedy_sampling.
[[nodiscard]] TokenSampler greedy_sampler();
/// The seed's temperature_sampling; with philox the selection of docs/numerics.md, section 7.
[[nodiscard]] TokenSampler temperature_sampler(float temperature = 1.0F);

}  // namespace gridmill
