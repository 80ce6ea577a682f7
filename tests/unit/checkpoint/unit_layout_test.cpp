#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <vector>

#include "checkpoint/unit_layout_detail.hpp"

namespace gridmill::checkpoint_detail {
namespace {

constexpr std::int64_t kInputs = 10;

UnitSpec unit_of(std::int64_t outputs, std::int64_t elements) {
  UnitSpec unit;
  unit.matrices.push_back(
      {.name = "m",
       .parts = {{"m", {0, outputs}, {0, kInputs}}},
       .shape = {.outputs = outputs, .inputs = kInputs, .whole_inputs = kInputs}});
  unit.vectors.push_back({"v", {{"v", {0, elements}}}});
  return unit;
}

class UnitLayoutTest : public testing::Test {
 protected:
  std::unique_ptr<Backend> backend_ = make_backend("reference", {});
  std::int64_t width_ = backend_->panel_outputs();
};

TEST_F(UnitLayoutTest, MatricesAtMostAsLargeAsTheLimitStayWhole) {
  const UnitSpec unit = unit_of(4 * width_, 100);
  const std::int64_t elements = 4 * width_ * kInputs;
  EXPECT_FALSE(
      layout_unit(unit, *backend_, {.shards = 2, .min_elements = elements}).matrices[0].split);
  const UnitLayout layout =
      layout_unit(unit, *backend_, {.shards = 2, .min_elements = elements - 1});
  EXPECT_TRUE(layout.matrices[0].split);
  EXPECT_EQ(layout.matrices[0].items, (std::vector<IndexRange>{{0, 2}, {2, 2}}));
  EXPECT_FALSE(layout.vectors[0].split);
  EXPECT_FALSE(layout_unit(unit, *backend_, {.shards = 1}).matrices[0].split);
}

TEST_F(UnitLayoutTest, PiecesDoNotOverlapAndBeginAtCacheLines) {
  const UnitLayout layout =
      layout_unit(unit_of(5 * width_ + 1, 33), *backend_, {.shards = 4, .own = 2});
  for (std::size_t shard = 0; shard < 4; ++shard) {
    EXPECT_EQ(layout.matrices[0].offsets[shard], 0U);
    EXPECT_GE(layout.vectors[0].offsets[shard], layout.matrices[0].bytes(shard));
    EXPECT_EQ(layout.vectors[0].offsets[shard] % kAlignment, 0U);
    EXPECT_GE(layout.block_bytes[shard],
              layout.vectors[0].offsets[shard] + layout.vectors[0].bytes(shard));
    EXPECT_EQ(layout.block_bytes[shard] % kAlignment, 0U);
  }
  EXPECT_EQ(layout.kept_bytes, 0U);
}

TEST_F(UnitLayoutTest, BlocksCanBePaddedToTheLongest) {
  const UnitLayout layout =
      layout_unit(unit_of(5 * width_, 3), *backend_,
                  {.shards = 2, .split_vectors = false, .equal_blocks = true});
  EXPECT_EQ(layout.block_bytes[0], layout.block_bytes[1]);
  EXPECT_EQ(layout.gathered_bytes, 2 * layout.block_bytes[0]);
  EXPECT_FALSE(layout.vectors[0].split);
}

TEST_F(UnitLayoutTest, ATableThatStaysIsCutButNotGathered) {
  UnitSpec unit = unit_of(101, 3);
  unit.matrices[0].layout = MatrixLayout::rows;
  const UnitLayout layout = layout_unit(
      unit, *backend_, {.shards = 2, .own = 1, .min_elements = 100, .table_stays = true});
  EXPECT_EQ(layout.gathered_bytes, 0U);
  const std::vector<std::byte> kept(layout.kept_bytes);
  const UnitWeights weights = make_weights(unit, layout, 1, nullptr, kept.data(), nullptr);
  ASSERT_EQ(weights.matrices[0].runs.size(), 1U);
  EXPECT_EQ(weights.matrices[0].runs[0].first_panel, 50);
  EXPECT_EQ(weights.matrices[0].runs[0].panels, 51);
  EXPECT_EQ(weights.matrices[0].panel(0), nullptr);
  EXPECT_EQ(weights.matrices[0].panel(50), kept.data());
}

TEST_F(UnitLayoutTest, MoreShardsThanPanelsLeaveSomeEmpty) {
  const UnitSpec unit = unit_of(2 * width_, 1);
  const UnitLayout layout = layout_unit(unit, *backend_, {.shards = 5});
  std::vector<std::byte> gathered(layout.gathered_bytes);
  const UnitWeights weights =
      make_weights(unit, layout, 0, gathered.data(), nullptr, gathered.data());
  EXPECT_EQ(weights.matrices[0].runs.size(), 2U);
  EXPECT_NE(weights.matrices[0].panel(0), nullptr);
  EXPECT_NE(weights.matrices[0].panel(1), nullptr);
}

TEST_F(UnitLayoutTest, VectorsArePutTogetherFromTheirShards) {
  const UnitSpec unit = unit_of(0, 7);
  const UnitLayout layout = layout_unit(unit, *backend_, {.shards = 3});
  std::vector<std::byte> gathered(layout.gathered_bytes);
  for (std::size_t shard = 0; shard < 3; ++shard) {
    const IndexRange range = layout.vectors[0].items[shard];
    for (std::int64_t i = 0; i < range.count; ++i) {
      const auto value = static_cast<float>(range.first + i);
      std::memcpy(gathered.data() + layout.block_starts[shard] + layout.vectors[0].offsets[shard] +
                      static_cast<std::size_t>(i) * sizeof value,
                  &value, sizeof value);
    }
  }
  std::vector<float> assembled(layout.assembled_bytes / sizeof(float));
  assemble_vectors(layout, gathered.data(), reinterpret_cast<std::byte*>(assembled.data()));
  assembled.resize(7);
  EXPECT_EQ(assembled, (std::vector<float>{0, 1, 2, 3, 4, 5, 6}));
}

}  // namespace
}  // namespace gridmill::checkpoint_detail
