#include "gridmill/sampling/greedy.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/base/tensor.hpp"

namespace gridmill {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

TokenId greedy(const std::vector<float>& logits) { return greedy_sampling(logits); }

TEST(GreedySampling, PicksTheLargestLogit) { EXPECT_EQ(greedy({-1.0F, 0.5F, 0.25F}), 1); }

TEST(GreedySampling, LowestTokenIdWinsATie) { EXPECT_EQ(greedy({0.5F, 2.0F, 2.0F}), 1); }

TEST(GreedySampling, ZerosOfBothSignsAreATie) { EXPECT_EQ(greedy({-1.0F, -0.0F, 0.0F}), 1); }

TEST(GreedySampling, TheFirstNanWins) {
  EXPECT_EQ(greedy({1.0F, kNan, kInfinity, kNan}), 1);
  EXPECT_EQ(greedy({kNan, 1.0F}), 0);
}

TEST(GreedySampling, OnlyMinusInfinityGivesTheFirst) {
  EXPECT_EQ(greedy({-kInfinity, -kInfinity}), 0);
}

TEST(GreedySampling, TheFirstOfSeveralInfinitiesWins) {
  EXPECT_EQ(greedy({0.0F, kInfinity, kInfinity}), 1);
}

TEST(GreedySampling, AMatrixGivesOneTokenARow) {
  Tensor<float, 2> logits({2, 3});
  logits.flat() = {0.0F, 2.0F, 2.0F, 5.0F, kNan, 1.0F};
  EXPECT_EQ(greedy_sampling(logits.view()), (std::vector<TokenId>{1, 1}));
  EXPECT_THROW(static_cast<void>(greedy_sampling(Tensor<float, 2>({2, 0}).view())), UsageError);
}

TEST(GreedySampling, NoLogitsAreRefused) { EXPECT_THROW(greedy({}), UsageError); }

}  // namespace
}  // namespace gridmill
