#include <gtest/gtest.h>

#include <vector>

#include "generate/page_pool_detail.hpp"

namespace gridmill::generate_detail {
namespace {

using Rows = std::vector<PageDemand>;

/// Rows that may grow by a page.
Rows growing(std::initializer_list<std::int64_t> needs) {
  Rows rows;
  for (const std::int64_t pages : needs) {
    rows.push_back({.needs = pages, .wants = pages + 1, .first = pages + 1});
  }
  return rows;
}

TEST(PagesOf, AreWholePages) {
  EXPECT_EQ(pages_of(0), 0);
  EXPECT_EQ(pages_of(1), 1);
  EXPECT_EQ(pages_of(64), 1);
  EXPECT_EQ(pages_of(65), 2);
}

TEST(RowsWithPages, AreTakenInWithAPageForEachOfThemToGrowInto) {
  EXPECT_EQ(rows_with_pages(growing({1, 1, 1}), 0, 5), 2U);
  EXPECT_EQ(rows_with_pages(growing({1, 1, 1}), 0, 6), 3U);
  EXPECT_EQ(rows_with_pages(growing({2, 1, 1}), 2, 6), 2U) << "the first one has grown";
}

TEST(RowsWithPages, NeedNoPageToGrowIntoIfTheyCannotGrow) {
  const Rows rows(3, {.needs = 1, .wants = 1});
  EXPECT_EQ(rows_with_pages(rows, 0, 3), 3U);
}

TEST(RowsWithPages, StayWhileThereIsWhatTheyNeed) {
  EXPECT_EQ(rows_with_pages(growing({3, 2, 1}), 3, 6), 3U);
}

TEST(RowsWithPages, ArePutOutYoungestFirstUntilTheRestFits) {
  EXPECT_EQ(rows_with_pages(growing({3, 2, 2}), 3, 6), 2U);
  EXPECT_EQ(rows_with_pages(growing({3, 4, 1}), 3, 6), 1U);
}

TEST(RowsWithPages, AreOldestFirstAlsoIfAYoungerOneWouldFit) {
  EXPECT_EQ(rows_with_pages(growing({2, 5, 1}), 1, 6), 1U);
}

TEST(RowsWithPages, AreAtLeastTheOldest) {
  EXPECT_EQ(rows_with_pages(growing({6, 1}), 0, 6), 1U);
  EXPECT_EQ(rows_with_pages(growing({6, 1}), 2, 6), 1U);
  EXPECT_EQ(rows_with_pages({}, 0, 6), 0U);
}

TEST(RoomForMore, IsThatOfLongestRowsBeforeOneIsSeen) { EXPECT_EQ(room_for_more({}, 0, 11, 5), 2); }

TEST(RoomForMore, IsThatOfRowsLikeThoseInFlight) {
  EXPECT_EQ(room_for_more(growing({1, 1}), 2, 11, 5), 3);
  EXPECT_EQ(room_for_more(Rows{{.needs = 3, .wants = 4, .first = 2}}, 1, 11, 5), 3)
      << "it has grown since it was admitted";
}

TEST(RoomForMore, IsNoneWhileARowWaitsOrTheOthersHaveGrownIntoAll) {
  EXPECT_EQ(room_for_more(growing({1, 9}), 1, 11, 5), 0);
  EXPECT_EQ(room_for_more(growing({5, 5}), 2, 11, 5), 0);
}

}  // namespace
}  // namespace gridmill::generate_detail
