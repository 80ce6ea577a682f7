#include "gridmill/sampling/row_rules.hpp"

#include <algorithm>
#include <limits>
#include <map>

namespace gridmill {

RowRules::RowRules(const SamplingOptions& options, const RowLimits& limits,
                   std::span<const TokenId> prompt)
    : min_new_tokens_(limits.min_new_tokens),
      counts_(options.frequency_penalty != 0 || options.presence_penalty != 0),
      repeats_(options.repetition_penalty != 1) {
  // Below the smallest normal number every quotient overflows: the greedy token. Where subnormal
  // numbers count as 0 it would be a division by 0.
  plan_.temperature =
      options.temperature < std::numeric_limits<float>::min() ? 0.0F : options.temperature;
  plan_.key.seed = options.seed;
  plan_.min_p = options.min_p;
  plan_.top_k = options.top_k;
  plan_.top_p = options.top_p;
  plan_.rules.only_allowed = !options.allowed_token_ids.empty();
  plan_.rules.repetition = options.repetition_penalty;
  plan_.rules.frequency = options.frequency_penalty;
  plan_.rules.presence = options.presence_penalty;

  std::map<TokenId, TokenRule> rules;
  for (const auto& [id, bias] : options.logit_bias) rules[id].bias = bias;
  for (const TokenId id : options.banned_token_ids) rules[id].banned = true;
  for (const TokenId id : options.allowed_token_ids) rules[id].allowed = true;
  if (min_new_tokens_ > 0) {
    for (const TokenId id : limits.eod_token_ids) rules[id].ends = true;
    for (const TokenId id : limits.stop_token_ids) rules[id].ends = true;
  }
  if (repeats_) {
    for (const TokenId id : prompt) rules[id].seen = true;
  }
  for (auto& [id, rule] : rules) {
    rule.id = id;
    rules_.push_back(rule);
  }
}

TokenRule& RowRules::rule_of(TokenId id) {
  auto place =
      std::lower_bound(rules_.begin(), rules_.end(), id,
                       [](const TokenRule& rule, TokenId wanted) { return rule.id < wanted; });
  if (place == rules_.end() || place->id != id) {
    TokenRule rule;
    rule.id = id;
    place = rules_.insert(place, rule);
  }
  return *place;
}

void RowRules::add_generated(TokenId id) {
  ++generated_;
  if (!counts_ && !repeats_) return;
  TokenRule& rule = rule_of(id);
  rule.seen = rule.seen || repeats_;
  if (counts_) ++rule.count;
}

SamplingPlan RowRules::plan(std::uint32_t prompt, std::uint32_t sample,
                            std::uint32_t position) const {
  SamplingPlan plan = plan_;
  plan.key.prompt = prompt;
  plan.key.sample = sample;
  plan.key.position = position;
  plan.rules.tokens = rules_;
  plan.rules.forbid_ends = generated_ < min_new_tokens_;
  return plan;
}

}  // namespace gridmill
