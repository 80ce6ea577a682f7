#include "gridmill/kernels/experts.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "gridmill/base/check.hpp"

namespace gridmill {

namespace {

/// Whether a is chosen before b: larger logit, NaN first, then the lower index.
bool precedes(std::span<const float> logits, std::size_t a, std::size_t b) {
  const bool a_nan = std::isnan(logits[a]);
  const bool b_nan = std::isnan(logits[b]);
  if (a_nan != b_nan) return a_nan;
  if (!a_nan && logits[a] != logits[b]) return logits[a] > logits[b];
  return a < b;
}

}  // namespace

void choose_experts(std::span<const float> logits, RouterWeights weights,
                    std::span<ExpertChoice> chosen) {
  GRIDMILL_ASSERT(!chosen.empty() && chosen.size() <= logits.size(),
                  "at least one expert is chosen, at most all");
  std::vector<std::size_t> order(logits.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto end = order.begin() + static_cast<std::ptrdiff_t>(chosen.size());
  std::partial_sort(order.begin(), end, order.end(),
                    [&](std::size_t a, std::size_t b) { return precedes(logits, a, b); });
  const float largest = logits[order.front()];
  std::sort(order.begin(), end);

  float sum = 0;
  if (weights != RouterWeights::softmax_chosen) {
    std::vector<float> terms(logits.size());
    std::transform(logits.begin(), logits.end(), terms.begin(),
                   [largest](float logit) { return exp_f32(logit - largest); });
    sum = lane_sum(terms);
  }
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const float term = exp_f32(logits[order[i]] - largest);
    chosen[i].expert = static_cast<std::int32_t>(order[i]);
    chosen[i].weight = weights == RouterWeights::softmax_chosen ? term : term / sum;
  }
  if (weights == RouterWeights::softmax_all) return;
  float chosen_sum = 0;
  for (const ExpertChoice& choice : chosen) chosen_sum += choice.weight;
  for (ExpertChoice& choice : chosen) choice.weight /= chosen_sum;
}

ExpertPlan plan_experts(std::span<const ExpertChoice> choices, std::size_t chosen) {
  std::int32_t last = -1;
  for (const ExpertChoice& choice : choices) last = std::max(last, choice.expert);
  std::vector<std::int64_t> counts(static_cast<std::size_t>(last + 1), 0);
  for (const ExpertChoice& choice : choices) ++counts[static_cast<std::size_t>(choice.expert)];

  ExpertPlan plan;
  std::vector<std::int64_t> next(counts.size(), 0);
  std::int64_t end = 0;
  for (std::int32_t expert = 0; expert <= last; ++expert) {
    const std::int64_t count = counts[static_cast<std::size_t>(expert)];
    if (count == 0) continue;
    const std::int64_t first = (end + kExpertRowUnit - 1) / kExpertRowUnit * kExpertRowUnit;
    plan.groups.push_back({expert, first, count});
    next[static_cast<std::size_t>(expert)] = first;
    end = first + count;
  }
  plan.rows.assign(static_cast<std::size_t>(end), 0);
  plan.weights.assign(static_cast<std::size_t>(end), 0.0F);
  for (std::size_t i = 0; i < choices.size(); ++i) {
    const auto at = static_cast<std::size_t>(next[static_cast<std::size_t>(choices[i].expert)]++);
    plan.rows[at] = static_cast<std::int64_t>(i / chosen);
    plan.weights[at] = choices[i].weight;
  }
  return plan;
}

}  // namespace gridmill
