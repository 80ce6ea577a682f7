#include "gridmill/kernels/experts.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace gridmill::testing {
namespace {

std::vector<ExpertChoice> choose(std::vector<float> logits, RouterWeights weights, std::size_t k) {
  std::vector<ExpertChoice> chosen(k);
  choose_experts(logits, weights, chosen);
  return chosen;
}

TEST(ChooseExperts, TakesTheLargestInAscendingOrder) {
  const auto chosen = choose({0.0F, 3.0F, 1.0F, 2.0F}, RouterWeights::softmax_all, 2);
  EXPECT_EQ(chosen[0].expert, 1);
  EXPECT_EQ(chosen[1].expert, 3);
  const double sum = 1 + std::exp(3.0) + std::exp(1.0) + std::exp(2.0);
  EXPECT_NEAR(chosen[0].weight, std::exp(3.0) / sum, 1e-6);
  EXPECT_NEAR(chosen[1].weight, std::exp(2.0) / sum, 1e-6);
}

TEST(ChooseExperts, OfEqualLogitsTheLowerIndexIsChosen) {
  const auto chosen = choose({1.0F, 2.0F, 2.0F, 2.0F}, RouterWeights::softmax_all, 2);
  EXPECT_EQ(chosen[0].expert, 1);
  EXPECT_EQ(chosen[1].expert, 2);
}

TEST(ChooseExperts, NormalisedWeightsAndThoseOfTheChosenSumToOne) {
  for (const RouterWeights weights :
       {RouterWeights::softmax_shared, RouterWeights::softmax_chosen}) {
    const auto chosen = choose({0.5F, -1.0F, 2.0F, 1.5F, 0.0F}, weights, 3);
    EXPECT_NEAR(chosen[0].weight + chosen[1].weight + chosen[2].weight, 1.0, 1e-6);
    EXPECT_NEAR(chosen[1].weight / chosen[0].weight, std::exp(1.5), 1e-5);
  }
}

TEST(ChooseExperts, ANanReachesTheWeights) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const RouterWeights weights :
       {RouterWeights::softmax_all, RouterWeights::softmax_shared, RouterWeights::softmax_chosen}) {
    for (const ExpertChoice& choice : choose({1.0F, nan, 2.0F}, weights, 2)) {
      EXPECT_TRUE(std::isnan(choice.weight));
    }
  }
}

TEST(PlanExperts, SortsRowsByExpertAndLeavesEmptyOnesOut) {
  const std::vector<ExpertChoice> choices = {{0, 0.5F}, {4, 0.25F}, {2, 1.0F}, {4, 2.0F}};
  const ExpertPlan plan = plan_experts(choices, 2);
  ASSERT_EQ(plan.groups.size(), 3U);
  EXPECT_EQ(plan.groups[0].expert, 0);
  EXPECT_EQ(plan.groups[1].expert, 2);
  EXPECT_EQ(plan.groups[2].expert, 4);
  EXPECT_EQ(plan.groups[1].first, kExpertRowUnit);
  EXPECT_EQ(plan.groups[2].first, 2 * kExpertRowUnit);
  EXPECT_EQ(plan.groups[2].count, 2);
  const auto at = static_cast<std::size_t>(plan.groups[2].first);
  EXPECT_EQ(plan.rows[at], 0);
  EXPECT_EQ(plan.rows[at + 1], 1);
  EXPECT_EQ(plan.weights[at + 1], 2.0F);
}

}  // namespace
}  // namespace gridmill::testing
