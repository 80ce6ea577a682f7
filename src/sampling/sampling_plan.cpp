#include "gridmill/sampling/sampling_plan.hpp"

#include <array>
#include <cmath>

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

void join_log_sum_exp(float& max_logit, float& sum_exp, float other_max, float other_sum) {
  if (other_sum == 0.0F) return;
  if (sum_exp == 0.0F) {
    max_logit = other_max;
    sum_exp = other_sum;
    return;
  }
  const float largest = max_logit > other_max ? max_logit : other_max;
  sum_exp =
      std::fma(sum_exp, exp_f32(max_logit - largest), other_sum * exp_f32(other_max - largest));
  max_logit = largest;
}

namespace {

SelectPartial join(SelectPartial left, const SelectPartial& right) {
  // Groups ascend, so at equal scores the left one has the lower id.
  if (right.id >= 0 && (left.id < 0 || right.score > left.score)) {
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

Choice join_partials(std::span<const SelectPartial> groups) {
  GRIDMILL_ASSERT(groups.size() == 8, "the vocabulary has 8 groups");
  const SelectPartial all = join(join(join(groups[0], groups[1]), join(groups[2], groups[3])),
                                 join(join(groups[4], groups[5]), join(groups[6], groups[7])));
  Choice choice = {.id = all.id, .has_nan = all.has_nan != 0};
  if (all.sum_exp != 0.0F) {  // at least 1, the largest logit's, where it was wanted
    const float log_sum = all.max_logit + log_f32(all.sum_exp);
    choice.logprob = all.logit - log_sum;
    if (all.has_target != 0) choice.target_logprob = all.target_logit - log_sum;
  }
  return choice;
}

}  // namespace gridmill
