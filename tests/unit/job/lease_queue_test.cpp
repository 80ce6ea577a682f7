#include "gridmill/job/lease_queue.hpp"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace gridmill {
namespace {

std::vector<RowId> rows_of(const std::vector<RowRange>& lease) {
  std::vector<RowId> rows;
  for (const RowRange& range : lease) {
    for (RowId row = range.first; row < range.first + range.count; ++row) rows.push_back(row);
  }
  return rows;
}

TEST(LeaseQueue, HandsOutEveryRowOnce) {
  LeaseQueue queue({{3, 5}, {20, 1}, {40, 100}}, 3, 16);
  std::multiset<RowId> seen;
  while (queue.remaining() > 0) {
    const std::vector<RowId> rows = rows_of(queue.take(8));
    ASSERT_FALSE(rows.empty());
    seen.insert(rows.begin(), rows.end());
  }
  std::multiset<RowId> expected;
  for (RowId row = 3; row < 8; ++row) expected.insert(row);
  expected.insert(20);
  for (RowId row = 40; row < 140; ++row) expected.insert(row);
  EXPECT_EQ(seen, expected);
  EXPECT_TRUE(queue.take(8).empty());
}

TEST(LeaseQueue, LeasesShrinkTowardsTheEnd) {
  LeaseQueue queue({{0, 1000}}, 10, 40);
  EXPECT_EQ(rows_of(queue.take(8)).size(), 40U);  // the cap
  while (queue.remaining() > 100) static_cast<void>(queue.take(8));
  EXPECT_LE(rows_of(queue.take(8)).size(), 100U / 20);
  while (queue.remaining() > 15) static_cast<void>(queue.take(8));
  EXPECT_EQ(rows_of(queue.take(8)).size(), 1U);
}

TEST(LeaseQueue, ALeaseHasNoMoreRangesThanAMessageHolds) {
  std::vector<RowRange> scattered;
  for (RowId row = 0; row < 100; row += 2) scattered.push_back({row, 1});
  LeaseQueue queue(scattered, 1, 64);
  EXPECT_EQ(queue.take(8).size(), 8U);
}

TEST(LeaseQueue, ALeaseEndsWithAPromptIfOneEndsInItsSecondHalf) {
  LeaseQueue queue({{0, 100}}, 1, 64, 8);
  EXPECT_EQ(queue.take(8, 20), (std::vector<RowRange>{{0, 16}}));
  EXPECT_EQ(queue.take(8, 8), (std::vector<RowRange>{{16, 8}}));
  EXPECT_EQ(queue.take(8, 5), (std::vector<RowRange>{{24, 5}})) << "no prompt ends in these";
  EXPECT_EQ(queue.take(8, 4), (std::vector<RowRange>{{29, 3}}));
  EXPECT_EQ(queue.take(8, 1000), (std::vector<RowRange>{{32, 68}}));
}

TEST(LeaseQueue, HandsOutNothingAfterADrain) {
  LeaseQueue queue({{0, 10}}, 1, 4);
  queue.drain();
  EXPECT_TRUE(queue.take(8).empty());
  EXPECT_EQ(queue.remaining(), 0U);
}

TEST(RangesOf, JoinsNeighbours) {
  EXPECT_EQ(ranges_of({true, true, false, true, false, false, true}),
            (std::vector<RowRange>{{0, 2}, {3, 1}, {6, 1}}));
  EXPECT_TRUE(ranges_of({false, false}).empty());
  EXPECT_TRUE(ranges_of({}).empty());
}

}  // namespace
}  // namespace gridmill
