#include "kernels/cpu/kv_cache.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <vector>

#include "gridmill/base/error.hpp"

namespace gridmill::cpu {
namespace {

constexpr KvCacheShape kShape = {
    .layers = 2, .kv_heads = 3, .head_dim = 20, .slots = 4, .max_length = 1000};

std::vector<float> numbered(std::size_t count) {
  std::vector<float> values(count);
  // Small integers are exact in bf16.
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<float>(i % 251);
  return values;
}

class PagedKvCacheOf : public ::testing::TestWithParam<DType> {};

TEST_P(PagedKvCacheOf, GivesBackWhatWasLoaded) {
  PagedKvCache cache(kShape, GetParam());
  for (const std::int64_t length : {0, 1, 63, 64, 65, 200}) {
    const std::vector<float> values = numbered(cache.saved_floats(length));
    cache.load(1, length, values);
    std::vector<float> saved(values.size());
    cache.save(1, length, saved);
    EXPECT_EQ(saved, values) << length;
  }
}

TEST_P(PagedKvCacheOf, KeepsSlotsApart) {
  PagedKvCache cache(kShape, GetParam());
  const std::vector<float> first = numbered(cache.saved_floats(100));
  std::vector<float> second = first;
  std::reverse(second.begin(), second.end());
  cache.load(0, 100, first);
  cache.load(3, 100, second);
  std::vector<float> saved(first.size());
  cache.save(0, 100, saved);
  EXPECT_EQ(saved, first);
}

INSTANTIATE_TEST_SUITE_P(Dtypes, PagedKvCacheOf, ::testing::Values(DType::fp32, DType::bf16),
                         [](const auto& test) { return std::string(name_of(test.param)); });

TEST(PagedKvCache, GivesASlotPagesWhenItReachesThem) {
  PagedKvCache cache(kShape, DType::bf16);
  cache.reserve(0, 0, 64);
  std::byte* const first = cache.pages(0)[0];
  cache.reserve(0, 64, 65);
  EXPECT_EQ(cache.pages(0)[0], first);
  EXPECT_NE(cache.pages(0)[1], first);
}

TEST(PagedKvCache, ReusesThePagesOfAResetSlot) {
  PagedKvCache cache(kShape, DType::bf16);
  cache.reserve(0, 0, 300);
  const std::set<std::byte*> before(cache.pages(0), cache.pages(0) + 5);
  cache.reset(0);
  cache.reserve(2, 0, 300);
  EXPECT_EQ(std::set<std::byte*>(cache.pages(2), cache.pages(2) + 5), before);
}

TEST(PagedKvCache, AWindowKeepsTheSamePagesHoweverLongTheRow) {
  KvCacheShape shape = kShape;
  shape.window = 100;
  shape.max_length = 100'000;
  PagedKvCache cache(shape, DType::bf16);
  std::set<std::byte*> pages;
  for (std::int64_t position = 0; position < shape.max_length; ++position) {
    cache.reserve(0, position, position + 1);
    pages.insert(cache.pages(0)[position / 64]);
    ASSERT_NE(cache.pages(0)[std::max<std::int64_t>(0, position - 99) / 64], nullptr);
  }
  EXPECT_LE(pages.size(), 3U);
}

TEST(PagedKvCache, RefusesAPositionPastItsEnd) {
  PagedKvCache cache(kShape, DType::bf16);
  EXPECT_NO_THROW(cache.reserve(0, 0, 1000));
  EXPECT_THROW(cache.reserve(0, 0, 1001), InternalError);
}

}  // namespace
}  // namespace gridmill::cpu
