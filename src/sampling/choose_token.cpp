#include "gridmill/sampling/choose_token.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "gridmill/sampling/filter.hpp"

namespace gridmill {

namespace {

/// Ids above -inf in the order: adjusted logit descending, id ascending.
std::vector<TokenId> ordered_ids(std::span<const float> x) {
  std::vector<TokenId> ids;
  for (std::size_t id = 0; id < x.size(); ++id) {
    if (order_key(x[id]) > kForbiddenKey) ids.push_back(static_cast<TokenId>(id));
  }
  std::stable_sort(ids.begin(), ids.end(), [&](TokenId left, TokenId right) {
    return order_key(x[static_cast<std::size_t>(left)]) >
           order_key(x[static_cast<std::size_t>(right)]);
  });
  return ids;
}

std::vector<TokenId> kept_ids(std::span<const float> x, const SamplingPlan& plan) {
  std::vector<TokenId> ids = ordered_ids(x);
  if (ids.empty()) return ids;
  if (plan.temperature == 0.0F) {
    return {ids.front()};
  }
  const float max_y = x[static_cast<std::size_t>(ids.front())] / plan.temperature;
  const auto power = [&](TokenId id) {
    return relative_power(x[static_cast<std::size_t>(id)], plan.temperature, max_y);
  };
  if (plan.min_p > 0) {
    std::erase_if(ids, [&](TokenId id) { return static_cast<double>(power(id)) < plan.min_p; });
  }
  if (plan.top_k > 0) {
    const std::size_t count = std::min(ids.size(), static_cast<std::size_t>(plan.top_k));
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(count), ids.end());
  }
  if (plan.top_p < 1) {
    std::uint64_t total = 0;
    for (const TokenId id : ids) total += power_weight(power(id));
    const std::uint64_t target = top_p_target(plan.top_p, total);
    std::uint64_t sum = 0;
    std::size_t count = 0;
    while (count < ids.size() && sum < target) sum += power_weight(power(ids[count++]));
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(count), ids.end());
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

}  // namespace

ChosenToken choose_token(std::span<const float> logits, const SamplingPlan& plan) {
  ChosenToken chosen;
  chosen.adjusted.assign(logits.begin(), logits.end());
  adjust_logits(plan.rules, 0, chosen.adjusted, {});
  chosen.kept = kept_ids(chosen.adjusted, plan);
  Drawn best;
  for (const TokenId id : chosen.kept) {
    const float x = chosen.adjusted[static_cast<std::size_t>(id)];
    take_better(best, {.score = selection_score(plan, id, x), .x = x, .logit = 0, .id = id});
  }
  chosen.id = best.id;
  return chosen;
}

std::vector<RankedToken> most_likely_tokens(std::span<const float> logits, std::int64_t count) {
  std::vector<RankedToken> ranked;
  for (std::size_t id = 0; id < logits.size(); ++id) {
    ranked.push_back({static_cast<TokenId>(id), logits[id]});
  }
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const RankedToken& left, const RankedToken& right) {
                     return order_key(left.logit) > order_key(right.logit);
                   });
  ranked.resize(std::min<std::size_t>(ranked.size(), static_cast<std::size_t>(count)));
  return ranked;
}

}  // namespace gridmill
