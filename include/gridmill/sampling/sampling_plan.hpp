#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "gridmill/base/ids.hpp"
#include "gridmill/base/token_logprob.hpp"
#include "gridmill/sampling/logit_rules.hpp"

namespace gridmill {

/// All that the randomness of a drawn token may depend on.
struct DrawKey {
  std::uint64_t seed = 0;
  PromptId prompt = 0;
  std::uint32_t sample = 0;
  std::uint32_t position = 0;  ///< absolute position of the token that is drawn
};

/// How the next token of one row is selected.
struct SamplingPlan {
  float temperature = 1.0F;  ///< 0 = greedy
  DrawKey key;
  /// Ids whose power exp(y - max y) is smaller are left out; 0 = off.
  double min_p = 0;
  /// So many ids are kept, of those that min_p keeps; 0 = off.
  std::int32_t top_k = 0;
  /// Share of the weight that the kept ids hold, of those that top_k keeps; 1 = off.
  double top_p = 1;
  LogitRules rules{};

  /// Some ids of the order may be left out.
  [[nodiscard]] bool filters() const {
    return temperature != 0.0F && (min_p > 0 || top_k > 0 || top_p < 1);
  }
  /// The logits of the whole row are needed at once.
  [[nodiscard]] bool needs_logits() const { return filters() || !rules.empty(); }
};

/// Standard Gumbel noise of token `id`: -log(-log(u)), u from word id % 4 of
/// philox4x32(counter = (id / 4, position, sample, prompt), key = (seed low, seed high)).
[[nodiscard]] float gumbel_noise(const DrawKey& key, TokenId id);

/// Score of a token: its logit for greedy, else logit / temperature + gumbel_noise. The largest
/// score is selected; the lowest id wins a tie.
[[nodiscard]] float selection_score(const SamplingPlan& plan, TokenId id, float logit);

/// Whether a score beats one of a lower id. Infinite scores (of temperatures so small that logit /
/// temperature overflows) are compared by their logits.
[[nodiscard]] constexpr bool wins(float score, float logit, float best_score, float best_logit) {
  return score > best_score || (score == best_score && score - score != 0.0F && logit > best_logit);
}

/// Selection over one group of the vocabulary (params/shape.hpp: 8 groups, the unit of tp).
/// Trivially copyable: travels between ranks as bytes.
struct SelectPartial {
  float score = 0;         ///< largest score; meaningless if id < 0
  TokenId id = -1;         ///< its lowest id; -1 for a group without ids
  float logit = 0;         ///< the logit of `id`
  float target_logit = 0;  ///< the logit of SelectRow::target, if the group holds it
  std::int32_t has_target = 0;
  std::int32_t has_nan = 0;  ///< some logit of the group is NaN
  float max_logit = 0;       ///< log-sum-exp of the group = max_logit + log(sum_exp)
  float sum_exp = 0;         ///< 0 for a group without ids, or if it is not requested
};

/// A selected token.
struct Choice {
  TokenId id = -1;  ///< -1 = every id is forbidden
  /// Log-probability of `id` under softmax(logits), before all options (log_probability()).
  float logprob = 0;
  float target_logprob = 0;  ///< of SelectRow::target, if one was given
  bool has_nan = false;      ///< some logit was NaN; the other fields mean nothing
  /// The most likely tokens, if they were wanted: logit descending, then id ascending.
  std::vector<TokenLogprob> top{};
};

/// logit - (max_logit + log(sum_exp)). Where the largest logit is infinite, tokens that have it
/// share all of the probability.
[[nodiscard]] float log_probability(float logit, float max_logit, float sum_exp);

/// exp(x - max), 1 where x is the maximum, also an infinite one.
[[nodiscard]] float exp_below(float x, float max);

/// Log-sum-exp of two disjoint sets of ids: the larger maximum m, and s1 exp(m1 - m) + s2 exp(m2 -
/// m) as fma(s1, exp(m1 - m), s2 * exp(m2 - m)). An empty set (sum_exp 0) is neutral.
void join_log_sum_exp(float& max_logit, float& sum_exp, float other_max, float other_sum);

/// Joins the 8 groups in the fixed balanced tree ((0,1),(2,3)),((4,5),(6,7)).
[[nodiscard]] SelectPartial join_groups(std::span<const SelectPartial> groups);
/// Without the sum (SelectRow::logprobs) log-probabilities are 0.
[[nodiscard]] Choice choice_of(const SelectPartial& all);
[[nodiscard]] inline Choice join_partials(std::span<const SelectPartial> groups) {
  return choice_of(join_groups(groups));
}

}  // namespace gridmill
