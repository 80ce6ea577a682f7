#include "gridmill/sampling/greedy.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "gridmill/base/error.hpp"

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

TEST(GreedySampling, NoLogitsAreRefused) { EXPECT_THROW(greedy({}), UsageError); }

}  // namespace
}  // namespace gridmill
