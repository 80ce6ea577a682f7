#include "gridmill/params/parameter_spec.hpp"

#include <gtest/gtest.h>

#include "gridmill/base/error.hpp"

namespace gridmill {
namespace {

/// q [40, 8], k [8, 8], v [8, 8] of one rank: outputs 40 + 8 + 8.
MatrixSpec fused() {
  return {.name = "qkv",
          .parts = {{"q", {80, 40}, {0, 8}}, {"k", {16, 8}, {0, 8}}, {"v", {16, 8}, {0, 8}}},
          .shape = {.outputs = 56, .inputs = 8, .whole_inputs = 8}};
}
MatrixSpec interleaved() {
  return {.name = "gate_up",
          .parts = {{"gate", {20, 20}, {0, 8}}, {"up", {20, 20}, {0, 8}}},
          .shape = {.outputs = 40, .inputs = 8, .whole_inputs = 8},
          .fuse = Fuse::interleave};
}

TEST(PanelSources, RunThroughConcatenatedPartsWithoutGaps) {
  EXPECT_EQ(panel_count(fused(), 16), 4);
  const auto third = panel_sources(fused(), 16, 2);  // outputs 32-47: 8 of q, all of k
  ASSERT_EQ(third.size(), 2U);
  EXPECT_EQ(third[0].part, 0U);
  EXPECT_EQ(third[0].rows, (IndexRange{112, 8}));
  EXPECT_EQ(third[0].lane, 0);
  EXPECT_EQ(third[1].part, 1U);
  EXPECT_EQ(third[1].rows, (IndexRange{16, 8}));
  EXPECT_EQ(third[1].lane, 8);
  const auto last = panel_sources(fused(), 16, 3);  // 8 of v; the other lanes are zero
  ASSERT_EQ(last.size(), 1U);
  EXPECT_EQ(last[0].rows, (IndexRange{16, 8}));
}

TEST(PanelSources, AlternateBetweenInterleavedParts) {
  EXPECT_EQ(panel_count(interleaved(), 16), 4);
  for (std::int64_t panel = 0; panel < 4; ++panel) {
    const auto sources = panel_sources(interleaved(), 16, panel);
    ASSERT_EQ(sources.size(), 1U);
    EXPECT_EQ(sources[0].part, static_cast<std::size_t>(panel % 2));
    EXPECT_EQ(sources[0].rows, panel < 2 ? (IndexRange{20, 16}) : (IndexRange{36, 4}));
    EXPECT_EQ(sources[0].lane, 0);
  }
}

TEST(PanelSources, OfPlainRowsAreTheRowsThemselves) {
  const MatrixSpec table{.name = "embedding",
                         .parts = {{"embedding", {64, 10}, {0, 8}}},
                         .shape = {.outputs = 10, .inputs = 8, .whole_inputs = 8},
                         .fuse = Fuse::concatenate,
                         .layout = MatrixLayout::rows};
  EXPECT_EQ(panel_count(table, 1), 10);
  EXPECT_EQ(panel_sources(table, 1, 9)[0].rows, (IndexRange{73, 1}));
}

TEST(PanelCount, OfAnEmptyMatrixIsZero) {
  MatrixSpec empty = fused();
  empty.parts = {{"q", {0, 0}, {0, 8}}};
  empty.shape.outputs = 0;
  EXPECT_EQ(panel_count(empty, 16), 0);
}

TEST(PanelCount, InterleavedPartsMustHaveEqualRows) {
  MatrixSpec uneven = interleaved();
  uneven.parts[1].rows.count = 19;
  EXPECT_THROW(static_cast<void>(panel_count(uneven, 16)), InternalError);
}

}  // namespace
}  // namespace gridmill
