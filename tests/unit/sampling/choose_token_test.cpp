#include "gridmill/sampling/choose_token.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "gridmill/sampling/filter.hpp"
#include "gridmill/sampling/row_rules.hpp"

namespace gridmill {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<TokenId> first_ids(TokenId count) {
  std::vector<TokenId> ids;
  for (TokenId id = 0; id < count; ++id) ids.push_back(id);
  return ids;
}

TEST(ChooseToken, EqualLogitsAreKeptAsPeopleCount) {
  const std::vector<float> flat(1000, 0.25F);
  for (const int percent : {70, 80, 90}) {
    const SamplingPlan plan{.key = {}, .top_p = percent / 100.0};
    EXPECT_EQ(choose_token(flat, plan).kept, first_ids(10 * percent)) << percent;
  }
  EXPECT_EQ(choose_token(flat, {.key = {}, .top_k = 3}).kept, first_ids(3));
}

TEST(ChooseToken, AFilterDoesNotChangeTheNoiseOfWhatItKeeps) {
  std::vector<float> logits(200);
  for (std::size_t id = 0; id < logits.size(); ++id) logits[id] = static_cast<float>(id % 17);
  int kept = 0;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const TokenId free = choose_token(logits, {.key = {.seed = seed}}).id;
    const ChosenToken filtered = choose_token(logits, {.key = {.seed = seed}, .top_p = 0.6});
    if (!std::binary_search(filtered.kept.begin(), filtered.kept.end(), free)) continue;
    EXPECT_EQ(filtered.id, free);
    ++kept;
  }
  EXPECT_GT(kept, 5);
}

TEST(ChooseToken, AllForbiddenGivesNone) {
  EXPECT_EQ(choose_token(std::vector<float>(5, -kInfinity), {.key = {}}).id, -1);
}

TEST(ChooseToken, InfiniteLogitsTakeAllOfTheWeight) {
  std::vector<float> logits(50, 3.0F);
  logits[10] = kInfinity;
  logits[30] = kInfinity;
  EXPECT_EQ(choose_token(logits, {.key = {}, .top_p = 0.5}).kept, (std::vector<TokenId>{10}));
  EXPECT_EQ(choose_token(logits, {.key = {}, .min_p = 0.5}).kept, (std::vector<TokenId>{10, 30}));
}

TEST(TopPTarget, IsTheExactFloor) {
  EXPECT_EQ(top_p_target(0.5, 9), 4U);
  EXPECT_EQ(top_p_target(1e-300, 1000), 1U);
  EXPECT_EQ(top_p_target(5e-324, std::uint64_t{1} << 62), 1U);
  const double below_one = std::nextafter(1.0, 0.0);  // 1 - 2^-53
  EXPECT_EQ(top_p_target(below_one, std::uint64_t{1} << 62),
            (std::uint64_t{1} << 62) - (std::uint64_t{1} << 9));
  EXPECT_EQ(top_p_target(0.9, 1000 * (std::uint64_t{1} << 44)),
            900 * (std::uint64_t{1} << 44));  // 0.9 is 2.2e-17 more
}

TEST(PowerWeight, RoundsToNearestEven) {
  EXPECT_EQ(power_weight(1.0F), std::uint64_t{1} << 44);
  EXPECT_EQ(power_weight(0.0F), 0U);
  EXPECT_EQ(power_weight(0x1p-45F), 0U);
  EXPECT_EQ(power_weight(0x1.8p-44F), 2U);
  EXPECT_EQ(power_weight(0x1.4p-43F), 2U);
}

TEST(OrderKey, OrdersLogits) {
  const std::vector<float> ascending = {-kInfinity, -3.0e38F, -1.0F, -1e-30F,  0.0F,
                                        1e-30F,     1.0F,     3e38F, kInfinity};
  for (std::size_t i = 1; i < ascending.size(); ++i) {
    EXPECT_LT(order_key(ascending[i - 1]), order_key(ascending[i])) << i;
  }
  EXPECT_EQ(order_key(-0.0F), order_key(0.0F));
  EXPECT_EQ(order_key(-kInfinity), kForbiddenKey);
}

TEST(RowRules, PenaltiesComeInTheirOrder) {
  SamplingOptions options;
  options.repetition_penalty = 2;
  options.frequency_penalty = 0.5F;
  options.presence_penalty = 0.25F;
  options.logit_bias = {{1, 1.0F}};
  const std::vector<TokenId> prompt = {0};
  RowRules rules(options, {}, prompt);
  rules.add_generated(1);
  rules.add_generated(1);
  const std::vector<float> adjusted =
      choose_token(std::vector<float>{-4.0F, 3.0F, 5.0F}, rules.plan(0, 0, 3)).adjusted;
  EXPECT_EQ(adjusted, (std::vector<float>{-8.0F, 0.75F, 5.0F}));
}

TEST(RowRules, EndsAreForbiddenWhileTheRowIsTooShort) {
  RowLimits limits;
  limits.min_new_tokens = 1;
  limits.eod_token_ids = {2};
  limits.stop_token_ids = {0};
  SamplingOptions greedy;
  greedy.temperature = 0;
  RowRules rules(greedy, limits, std::vector<TokenId>{1});
  const std::vector<float> logits = {5.0F, 1.0F, 9.0F};
  EXPECT_EQ(choose_token(logits, rules.plan(0, 0, 1)).id, 1);
  rules.add_generated(1);
  EXPECT_EQ(choose_token(logits, rules.plan(0, 0, 2)).id, 2);
}

TEST(RowRules, ASubnormalTemperatureIsGreedy) {
  SamplingOptions options;
  options.temperature = 1e-40F;
  EXPECT_EQ(RowRules(options, {}, std::vector<TokenId>{1}).plan(0, 0, 1).temperature, 0.0F);
}

}  // namespace
}  // namespace gridmill
