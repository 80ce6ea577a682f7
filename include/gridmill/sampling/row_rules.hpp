#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "gridmill/base/ids.hpp"
#include "gridmill/sampling/logit_rules.hpp"
#include "gridmill/sampling/sampling_options.hpp"
#include "gridmill/sampling/sampling_plan.hpp"

namespace gridmill {

/// The rules of one row as it grows. A function of its options, its prompt and what has been
/// generated, so a resumed row rebuilds it from its tokens.
class RowRules {
 public:
  RowRules(const SamplingOptions& options, const RowLimits& limits,
           std::span<const TokenId> prompt);
  void add_generated(TokenId id);
  /// How the token at absolute `position` is selected. Valid until the next add_generated().
  [[nodiscard]] SamplingPlan plan(std::uint32_t prompt, std::uint32_t sample,
                                  std::uint32_t position) const;

 private:
  TokenRule& rule_of(TokenId id);

  SamplingPlan plan_;
  std::int64_t min_new_tokens_ = 0;
  std::int64_t generated_ = 0;
  bool counts_ = false;
  bool repeats_ = false;
  std::vector<TokenRule> rules_;
};

}  // namespace gridmill
