#include "gridmill/sampling/sampling_plan.hpp"

#include <array>
#include <cmath>
#include <limits>

#include "gridmill/base/check.hpp"
#include "gridmill/base/numerics.hpp"
#include "gridmill/base/philox.hpp"

namespace gridmill {

float gumbel_noise(const DrawKey& key, TokenId id) {
  const auto token = static_cast<std::uint32_t>(id);
  const std::array<std::uint32_t, 4> words = philox4x32(
      {token / 4, key.position, key.sample, key.prompt},
      {static_cast<std::uint32_t>(key.seed), static_cast<std::uint32_t>(key.seed >> 32)});
  return -log_f32(-log_f32(unit_uniform(words[token % 4])));
}

float selection_score(const SamplingPlan& plan, TokenId id, float logit) {
  if (plan.temperature == 0.0F) return logit;
  return logit / plan.temperature + gumbel_noise(plan.key, id);
}

float exp_below(float x, float max) { return x == max ? 1.0F : exp_f32(x - max); }

float log_probability(float logit, float max_logit, float sum_exp) {
  if (std::isinf(max_logit)) {
    return logit == max_logit ? -log_f32(sum_exp) : -std::numeric_limits<float>::infinity();
  }
  return logit - (max_logit + log_f32(sum_exp));
}

void join_log_sum_exp(float& max_logit, float& sum_exp, float other_max, float other_sum) {
  if (other_sum == 0.0F) return;
  if (sum_exp == 0.0F) {
    max_logit = other_max;
    sum_exp = other_sum;
    return;
  }
  const float largest = max_logit > other_max ? max_logit : other_max;
  sum_exp =
      std::fma(sum_exp, exp_below(max_logit, largest), other_sum * exp_below(other_max, largest));
  max_logit = largest;
}

namespace {

SelectPartial join(SelectPartial left, const SelectPartial& right) {
  // Groups ascend, so at equal scores the left one has the lower id.
  if (right.id >= 0 && (left.id < 0 || wins(right.score, right.logit, left.score, left.logit))) {
    left.score = right.score;
    left.id = right.id;
    left.logit = right.logit;
  }
  if (right.has_target != 0) {
    left.target_logit = right.target_logit;
    left.has_target = 1;
  }
  left.has_nan |= right.has_nan;
  join_log_sum_exp(left.max_logit, left.sum_exp, right.max_logit, right.sum_exp);
  return left;
}

}  // namespace

SelectPartial join_groups(std::span<const SelectPartial> groups) {
  GRIDMILL_ASSERT(groups.size() == 8, "the vocabulary has 8 groups");
  return join(join(join(groups[0], groups[1]), join(groups[2], groups[3])),
              join(join(groups[4], groups[5]), join(groups[6], groups[7])));
}

Choice choice_of(const SelectPartial& all) {
  Choice choice = {.id = all.id, .has_nan = all.has_nan != 0};
  if (all.sum_exp != 0.0F) {  // at least 1, the largest logit's, where it was wanted
    choice.logprob = log_probability(all.logit, all.max_logit, all.sum_exp);
    if (all.has_target != 0) {
      choice.target_logprob = log_probability(all.target_logit, all.max_logit, all.sum_exp);
    }
  }
  if (all.logit == -std::numeric_limits<float>::infinity()) choice.id = -1;
  return choice;
}

}  // namespace gridmill
