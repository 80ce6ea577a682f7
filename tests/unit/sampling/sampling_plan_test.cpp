#include "gridmill/sampling/sampling_plan.hpp"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "gridmill/base/numerics.hpp"
#include "gridmill/base/philox.hpp"

namespace gridmill {
namespace {

using Groups = std::array<SelectPartial, 8>;

/// A group with one token.
SelectPartial group_of(TokenId id, float logit) {
  return {.score = logit, .id = id, .logit = logit, .max_logit = logit, .sum_exp = 1.0F};
}

TEST(GumbelNoise, IsTheFormulaOfTheNumericsContract) {
  const DrawKey key{.seed = 0x123456789ABCDEF0U, .prompt = 11, .sample = 22, .position = 33};
  for (const TokenId id : {0, 1, 2, 3, 4, 50303}) {
    const auto token = static_cast<std::uint32_t>(id);
    const auto words = philox4x32({token / 4, 33, 22, 11}, {0x9ABCDEF0U, 0x12345678U});
    const float u = (static_cast<float>(words[token % 4] >> 9) + 0.5F) * 0x1p-23F;
    EXPECT_EQ(gumbel_noise(key, id), -log_f32(-log_f32(u))) << id;
  }
}

TEST(GumbelNoise, DependsOnEveryPartOfTheKey) {
  const DrawKey key{.seed = 1, .prompt = 2, .sample = 3, .position = 4};
  const float noise = gumbel_noise(key, 5);
  EXPECT_EQ(gumbel_noise(key, 5), noise);
  EXPECT_NE(gumbel_noise({.seed = 2, .prompt = 2, .sample = 3, .position = 4}, 5), noise);
  EXPECT_NE(gumbel_noise({.seed = 1ULL << 32 | 1, .prompt = 2, .sample = 3, .position = 4}, 5),
            noise);
  EXPECT_NE(gumbel_noise({.seed = 1, .prompt = 3, .sample = 3, .position = 4}, 5), noise);
  EXPECT_NE(gumbel_noise({.seed = 1, .prompt = 2, .sample = 4, .position = 4}, 5), noise);
  EXPECT_NE(gumbel_noise({.seed = 1, .prompt = 2, .sample = 3, .position = 5}, 5), noise);
  EXPECT_NE(gumbel_noise(key, 6), noise);
}

TEST(SelectionScore, OfGreedyIsTheLogit) {
  EXPECT_EQ(selection_score({.temperature = 0.0F, .key = {.seed = 9}}, 3, 1.25F), 1.25F);
}

TEST(SelectionScore, AddsNoiseToTheLogitOverTheTemperature) {
  const SamplingPlan plan{.temperature = 0.7F, .key = {.seed = 9}};
  EXPECT_EQ(selection_score(plan, 3, 1.25F), 1.25F / 0.7F + gumbel_noise(plan.key, 3));
}

TEST(JoinLogSumExp, AnEmptySetIsNeutralOnBothSides) {
  float max = 5.0F;
  float sum = 1.5F;
  join_log_sum_exp(max, sum, 100.0F, 0.0F);
  EXPECT_EQ(max, 5.0F);
  EXPECT_EQ(sum, 1.5F);
  max = 100.0F;
  sum = 0.0F;
  join_log_sum_exp(max, sum, 5.0F, 1.5F);
  EXPECT_EQ(max, 5.0F);
  EXPECT_EQ(sum, 1.5F);
}

TEST(JoinLogSumExp, IsOneFmaBehindTheSmallerSet) {
  float max = 1.0F;
  float sum = 1.7F;
  join_log_sum_exp(max, sum, 3.0F, 1.1F);
  EXPECT_EQ(max, 3.0F);
  EXPECT_EQ(sum, std::fma(1.7F, exp_f32(-2.0F), 1.1F * exp_f32(0.0F)));
}

TEST(JoinPartials, TheLargestScoreWins) {
  Groups groups;
  groups[1] = group_of(70, 1.0F);
  groups[5] = group_of(400, 2.0F);
  EXPECT_EQ(join_partials(groups).id, 400);
}

TEST(JoinPartials, TheLowestIdWinsATie) {
  Groups groups;
  for (const std::size_t g : {2U, 3U, 6U}) groups[g] = group_of(static_cast<TokenId>(g), 2.0F);
  EXPECT_EQ(join_partials(groups).id, 2);
}

TEST(JoinPartials, AGroupOfMinusInfinityBeatsAnEmptyOne) {
  Groups groups;
  groups[3] = group_of(7, -std::numeric_limits<float>::infinity());
  EXPECT_EQ(join_groups(groups).id, 7);
  EXPECT_EQ(join_partials(groups).id, -1) << "no token is allowed";
}

TEST(JoinPartials, LogprobsAreLogitsMinusTheLogSumExpOfAllGroups) {
  Groups groups;
  double sum = 0;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    groups[g] = group_of(static_cast<TokenId>(g), 0.3F * static_cast<float>(g * g % 7));
    sum += std::exp(static_cast<double>(groups[g].logit));
  }
  groups[6].target_logit = groups[6].logit;
  groups[6].has_target = 1;
  const Choice choice = join_partials(groups);
  // Some 10 roundings of numbers below 4, each at most 2^-23 relative.
  constexpr double kBound = 10 * 4 * 0x1p-23;
  EXPECT_NEAR(choice.logprob, static_cast<double>(groups[2].logit) - std::log(sum), kBound);
  EXPECT_NEAR(choice.target_logprob, static_cast<double>(groups[6].logit) - std::log(sum), kBound);
  EXPECT_FALSE(choice.has_nan);
}

TEST(JoinPartials, WithoutSumsThereAreNoLogprobs) {
  Groups groups;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    groups[g] = group_of(static_cast<TokenId>(g), static_cast<float>(g * g % 7));
    groups[g].max_logit = 0;
    groups[g].sum_exp = 0;
  }
  groups[6].has_target = 1;
  const Choice choice = join_partials(groups);
  EXPECT_EQ(choice.id, 2);
  EXPECT_EQ(choice.logprob, 0.0F);
  EXPECT_EQ(choice.target_logprob, 0.0F);
}

TEST(JoinPartials, TheTreeIsBalanced) {
  Groups groups;
  std::array<float, 8> sums{};
  for (std::size_t g = 0; g < groups.size(); ++g) {
    sums[g] = 1.0F + 0.1F * static_cast<float>(g);
    groups[g] = group_of(static_cast<TokenId>(g), 0.0F);  // equal maxima: sums just add
    groups[g].sum_exp = sums[g];
  }
  const float total =
      ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
  EXPECT_EQ(join_partials(groups).logprob, -log_f32(total));
}

TEST(JoinPartials, ANanAnywhereIsReported) {
  for (std::size_t g = 0; g < 8; ++g) {
    Groups groups;
    groups[0] = group_of(1, 1.0F);
    groups[g].has_nan = 1;
    EXPECT_TRUE(join_partials(groups).has_nan) << g;
  }
}

TEST(JoinPartials, ASingleCertainTokenHasLogprobZero) {
  Groups groups;
  groups[4] = group_of(300, 12.5F);
  EXPECT_EQ(std::bit_cast<std::uint32_t>(join_partials(groups).logprob), 0U);
}

}  // namespace
}  // namespace gridmill
