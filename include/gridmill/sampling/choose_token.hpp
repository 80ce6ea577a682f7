#pragma once

#include <span>
#include <vector>

#include "gridmill/base/ids.hpp"
#include "gridmill/sampling/sampling_plan.hpp"

namespace gridmill {

/// A token and its logit under the model's own distribution.
struct RankedToken {
  TokenId id = -1;
  float logit = 0;
  bool operator==(const RankedToken& other) const = default;
};

/// Selection of one row over the whole vocabulary: the definition that backends are
/// held to (docs/numerics.md, section 7).
struct ChosenToken {
  /// Ids that could have been drawn, ascending; of a greedy row the chosen one.
  std::vector<TokenId> kept;
  /// Adjusted logits of all ids.
  std::vector<float> adjusted;
  /// -1 = every id is forbidden.
  TokenId id = -1;
};

/// @param logits  the model's, [V], without NaN.
[[nodiscard]] ChosenToken choose_token(std::span<const float> logits, const SamplingPlan& plan);

/// The `count` most likely ids: logit descending, then id ascending.
[[nodiscard]] std::vector<RankedToken> most_likely_tokens(std::span<const float> logits,
                                                          std::int64_t count);

}  // namespace gridmill
