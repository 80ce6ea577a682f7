#include "gridmill/job/remaining_time.hpp"

#include <gtest/gtest.h>

namespace gridmill {
namespace {

TEST(RemainingTime, NobodyKnowsBeforeTheFirstRow) {
  RemainingTime time;
  EXPECT_FALSE(time.of(10));
  time.add(5, 0);
  EXPECT_FALSE(time.of(10));
}

TEST(RemainingTime, OfASteadyJobIsNarrow) {
  RemainingTime time;
  for (int second = 1; second <= 4000; ++second) time.add(second, 100U * second);
  const auto range = time.of(100'000);
  ASSERT_TRUE(range);
  // 1000 s, and 1 / sqrt(100,000) of it: the last quarter has 100,000 rows.
  EXPECT_GT(range->low_s, 996);
  EXPECT_LT(range->low_s, 1000);
  EXPECT_GT(range->high_s, 1000);
  EXPECT_LT(range->high_s, 1004);
}

TEST(RemainingTime, OfAJobThatSlowsDownReachesToItsSpeedNow) {
  RemainingTime time;
  for (int second = 1; second <= 100; ++second) time.add(second, 100U * second);
  for (int second = 101; second <= 200; ++second) time.add(second, 10'000U + 10U * (second - 100));
  const auto range = time.of(1000);
  ASSERT_TRUE(range);
  EXPECT_GT(range->high_s, 100) << "ten rows a second now";
  EXPECT_LT(range->low_s, 1000 / 55.0) << "55 rows a second over all";
}

TEST(RemainingTime, OfNoRowsIsNone) {
  RemainingTime time;
  time.add(1, 1);
  const auto range = time.of(0);
  ASSERT_TRUE(range);
  EXPECT_EQ(range->low_s, 0);
  EXPECT_EQ(range->high_s, 0);
}

}  // namespace
}  // namespace gridmill
