#include "gridmill/sampling/logit_rules.hpp"

#include <algorithm>
#include <cstddef>
#include <limits>

namespace gridmill {

const TokenRule* find_rule(const LogitRules& rules, TokenId id) {
  const auto found =
      std::lower_bound(rules.tokens.begin(), rules.tokens.end(), id,
                       [](const TokenRule& rule, TokenId wanted) { return rule.id < wanted; });
  return found != rules.tokens.end() && found->id == id ? &*found : nullptr;
}

float adjusted_logit(const LogitRules& rules, const TokenRule* rule, float logit) {
  constexpr float kForbidden = -std::numeric_limits<float>::infinity();
  if (rule == nullptr) return rules.only_allowed ? kForbidden : logit;
  if (rule->banned || (rules.only_allowed && !rule->allowed)) return kForbidden;
  if (rule->ends && rules.forbid_ends) return kForbidden;
  float x = rule->bias == 0 ? logit : logit + rule->bias;
  if (rule->seen) x = x > 0 ? x / rules.repetition : x * rules.repetition;
  if (rule->count > 0) {
    const float taken = rules.frequency * static_cast<float>(rule->count);
    x = x - taken;
    x = x - rules.presence;
  }
  return x;
}

void adjust_logits(const LogitRules& rules, std::int64_t first_id, std::span<float> logits,
                   std::span<float> rule_logits) {
  const std::int64_t end_id = first_id + static_cast<std::int64_t>(logits.size());
  const auto begin =
      std::lower_bound(rules.tokens.begin(), rules.tokens.end(), first_id,
                       [](const TokenRule& rule, std::int64_t id) { return rule.id < id; });
  std::int64_t done = first_id;
  const auto forbid_until = [&](std::int64_t id) {
    if (rules.only_allowed) {
      std::fill(logits.begin() + (done - first_id), logits.begin() + (id - first_id),
                -std::numeric_limits<float>::infinity());
    }
    done = id;
  };
  for (auto rule = begin; rule != rules.tokens.end() && rule->id < end_id; ++rule) {
    forbid_until(rule->id);
    float& x = logits[static_cast<std::size_t>(rule->id - first_id)];
    if (!rule_logits.empty()) {
      rule_logits[static_cast<std::size_t>(rule - rules.tokens.begin())] = x;
    }
    x = adjusted_logit(rules, &*rule, x);
    done = rule->id + 1;
  }
  forbid_until(end_id);
}

}  // namespace gridmill
