#pragma once

#include <cstdint>
#include <span>

#include "gridmill/base/ids.hpp"

namespace gridmill {

/// Rules of a row's options for one id.
struct TokenRule {
  TokenId id = 0;
  float bias = 0;
  /// Times that the id was generated in this row.
  std::int32_t count = 0;
  bool banned = false;
  /// Named by the allowed ids.
  bool allowed = false;
  /// Ends a row: an eod or stop id.
  bool ends = false;
  /// In the prompt or generated.
  bool seen = false;
  bool operator==(const TokenRule& other) const = default;
};

/// Changes of the logits of one row before selection (docs/numerics.md, section 7): a view.
struct LogitRules {
  /// One an id at most, ids ascending. Ids without a rule keep their logit, unless `only_allowed`.
  std::span<const TokenRule> tokens{};
  /// Ids that no rule allows are forbidden.
  bool only_allowed = false;
  /// Ids that end a row are forbidden: fewer than min_new_tokens have been generated.
  bool forbid_ends = false;
  float repetition = 1;
  float frequency = 0;
  float presence = 0;

  [[nodiscard]] bool empty() const { return tokens.empty() && !only_allowed; }
};

/// The rule of `id`; nullptr if it has none.
[[nodiscard]] const TokenRule* find_rule(const LogitRules& rules, TokenId id);

/// The adjusted logit of an id with `rule` (nullptr = none): -inf if it is forbidden, else bias,
/// repetition, frequency and presence penalty, in this order, one rounding an operation.
[[nodiscard]] float adjusted_logit(const LogitRules& rules, const TokenRule* rule, float logit);

/// `logits` of ids first_id, first_id + 1, ... become adjusted logits.
/// @param rule_logits  the logits before, of the rules whose ids are among these, at the rules'
/// places in rules.tokens; others are left alone. May be empty.
void adjust_logits(const LogitRules& rules, std::int64_t first_id, std::span<float> logits,
                   std::span<float> rule_logits);

}  // namespace gridmill
