#include "kernels/page_table.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/base/philox.hpp"

// Compiled with heavy assertions: every call checks that no page is lost or given back twice.
namespace gridmill::kernels_detail {
namespace {

std::vector<std::int32_t> pages_of(const PageTable& table, SlotId slot) {
  const auto pages = table.pages(slot);
  return {pages.begin(), pages.end()};
}

TEST(PageTable, AForkSharesWholePagesAndCopiesTheLastOne) {
  PageTable table(3, 8, 24);
  table.reserve(0, 0, 200);
  const auto copy = table.fork(0, 1, 150);
  const std::vector<std::int32_t> first = pages_of(table, 0);
  const std::vector<std::int32_t> second = pages_of(table, 1);
  ASSERT_EQ(second.size(), 3U);
  EXPECT_EQ(second[0], first[0]);
  EXPECT_EQ(second[1], first[1]);
  EXPECT_NE(second[2], first[2]);
  ASSERT_TRUE(copy.has_value());
  EXPECT_EQ(copy->from, first[2]);
  EXPECT_EQ(copy->to, second[2]);
  EXPECT_EQ(table.pages_in_use(), 5);
}

TEST(PageTable, AForkAtTheEndOfAPageCopiesNothing) {
  PageTable table(2, 8, 16);
  table.reserve(0, 0, 200);
  EXPECT_FALSE(table.fork(0, 1, 128).has_value());
  EXPECT_EQ(table.pages(1).size(), 2U);
  EXPECT_EQ(table.pages_in_use(), 4);
}

TEST(PageTable, ASharedPageGoesBackWithItsLastHolder) {
  PageTable table(3, 8, 24);
  table.reserve(0, 0, 128);
  static_cast<void>(table.fork(0, 1, 128));
  static_cast<void>(table.fork(1, 2, 128));
  table.reset(0);
  EXPECT_EQ(table.pages_in_use(), 2);
  table.reset(2);
  EXPECT_EQ(table.pages_in_use(), 2);
  table.reset(1);
  EXPECT_EQ(table.pages_in_use(), 0);
}

TEST(PageTable, AForkReplacesWhatTheSlotHeld) {
  PageTable table(2, 8, 16);
  table.reserve(0, 0, 64);
  table.reserve(1, 0, 500);
  static_cast<void>(table.fork(0, 1, 64));
  EXPECT_EQ(pages_of(table, 1), pages_of(table, 0));
  EXPECT_EQ(table.pages_in_use(), 1);
}

TEST(PageTable, PagesBeforeAWindowAreSharedByNobody) {
  PageTable table(2, 8, 16);
  table.reserve(0, 0, 200);
  EXPECT_TRUE(table.reserve(0, 2, 260));
  const auto copy = table.fork(0, 1, 260);
  const std::vector<std::int32_t> second = pages_of(table, 1);
  EXPECT_EQ(second[0], PageTable::kNone);
  EXPECT_EQ(second[1], PageTable::kNone);
  EXPECT_EQ(second[2], table.pages(0)[2]);
  ASSERT_TRUE(copy.has_value());
  EXPECT_EQ(table.pages_in_use(), 4);
}

TEST(PageTable, RefusesMoreThanThereIs) {
  PageTable table(2, 4, 5);
  table.reserve(0, 0, 256);
  EXPECT_THROW(table.reserve(0, 0, 257), InternalError);
  EXPECT_THROW(table.reserve(1, 0, 100), InternalError);
  EXPECT_THROW(static_cast<void>(table.fork(0, 1, 257)), InternalError);
  EXPECT_THROW(table.reset(2), InternalError);
}

TEST(PageTable, LosesNoPageInAnyOrderOfCalls) {
  constexpr std::uint32_t kSlots = 6;
  PageTable table(kSlots, 10, kSlots * 10);
  for (std::uint32_t i = 0; i < 3000; ++i) {
    const auto random = philox4x32({i, 0, 0, 0}, {3, 4});
    const auto slot = static_cast<SlotId>(random[0] % kSlots);
    const auto other = static_cast<SlotId>(random[1] % kSlots);
    const auto held = static_cast<std::int64_t>(table.pages(slot).size()) * 64;
    switch (random[2] % 4) {
      case 0:
        table.reset(slot);
        break;
      case 1:
        if (slot != other) static_cast<void>(table.fork(slot, other, random[3] % (held + 1)));
        break;
      default:
        table.reserve(slot, 0, std::min<std::int64_t>(640, held + random[3] % 100));
        break;
    }
  }
  for (std::uint32_t slot = 0; slot < kSlots; ++slot) table.reset(static_cast<SlotId>(slot));
  EXPECT_EQ(table.pages_in_use(), 0);
}

}  // namespace
}  // namespace gridmill::kernels_detail
