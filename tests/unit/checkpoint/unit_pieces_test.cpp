#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "checkpoint/unit_pieces_detail.hpp"

namespace gridmill::checkpoint_detail {
namespace {

constexpr std::int64_t kInputs = 10;
constexpr int kShards = 2;

UnitSpec some_matrices_and_vectors(std::int64_t panel_outputs) {
  UnitSpec unit;
  for (const std::int64_t panels : {std::int64_t{7}, std::int64_t{1}, std::int64_t{12}}) {
    const std::int64_t outputs = panels * panel_outputs;
    unit.matrices.push_back(
        {.name = "m",
         .parts = {{"m", {0, outputs}, {0, kInputs}}},
         .shape = {.outputs = outputs, .inputs = kInputs, .whole_inputs = kInputs}});
  }
  unit.vectors.push_back({"v", {{"v", {0, 33}}}});
  unit.vectors.push_back({"none", {}});
  unit.vectors.push_back({"w", {{"w", {0, 300}}}});
  return unit;
}

class UnitPiecesTest : public testing::TestWithParam<std::size_t> {
 protected:
  std::unique_ptr<Backend> backend_ = make_backend("reference", {});
  UnitSpec unit_ = some_matrices_and_vectors(backend_->panel_outputs());
  UnitLayout layout_ = layout_unit(unit_, *backend_,
                                   {.shards = kShards,
                                    .own = 1,
                                    .min_elements = 2 * backend_->panel_outputs() * kInputs,
                                    .split_vectors = false,
                                    .equal_blocks = true});

  [[nodiscard]] std::vector<UnitPiece> cut(UnitPart part) const {
    return cut_unit(unit_, layout_, 1, part, GetParam());
  }
  [[nodiscard]] std::size_t longest_panel() const { return layout_.matrices[0].item_bytes; }
};

TEST_P(UnitPiecesTest, NoPieceIsLongerThanTheBoundOrAPanel) {
  for (const UnitPart part : {UnitPart::block, UnitPart::kept}) {
    for (const UnitPiece& piece : cut(part)) {
      EXPECT_LE(piece.bytes, std::max(GetParam(), longest_panel()));
      EXPECT_GT(piece.bytes, 0U);
    }
  }
}

TEST_P(UnitPiecesTest, TogetherTheyAreAllItemsOfThePartOnceAndInTheirPlaces) {
  for (const UnitPart part : {UnitPart::block, UnitPart::kept}) {
    std::vector<IndexRange> matrices(unit_.matrices.size());
    std::vector<IndexRange> vectors(unit_.vectors.size());
    for (const UnitPiece& piece : cut(part)) {
      for (const PieceItems& items : piece.items) {
        const bool is_matrix = items.matrix != nullptr;
        const auto index = static_cast<std::size_t>(
            is_matrix ? items.matrix - unit_.matrices.data() : items.vector - unit_.vectors.data());
        const Place& place = is_matrix ? layout_.matrices[index] : layout_.vectors[index];
        const std::size_t shard = place.split ? 1 : 0;
        IndexRange& seen = is_matrix ? matrices[index] : vectors[index];
        if (seen.count == 0) seen.first = items.items.first;
        EXPECT_EQ(items.items.first, seen.end());
        seen.count += items.items.count;
        EXPECT_EQ(items.bytes, static_cast<std::size_t>(items.items.count) * place.item_bytes);
        EXPECT_EQ(piece.begin + items.at,
                  place.offsets[shard] +
                      static_cast<std::size_t>(items.items.first - place.items[shard].first) *
                          place.item_bytes);
      }
    }
    const auto expect_all = [part](const std::vector<Place>& places,
                                   const std::vector<IndexRange>& seen) {
      for (std::size_t index = 0; index < places.size(); ++index) {
        const Place& place = places[index];
        if (place.gathered != (part == UnitPart::block)) continue;
        EXPECT_EQ(seen[index], place.items[place.split ? 1 : 0]) << index;
      }
    };
    expect_all(layout_.matrices, matrices);
    expect_all(layout_.vectors, vectors);
  }
}

TEST_P(UnitPiecesTest, PiecesAscendAndHaveGapsOfLessThanACacheLineInside) {
  for (const UnitPart part : {UnitPart::block, UnitPart::kept}) {
    std::size_t end = 0;  // of the piece before
    for (const UnitPiece& piece : cut(part)) {
      EXPECT_GE(piece.begin, end);
      end = piece.begin + piece.bytes;
      std::size_t at = 0;
      for (const PieceItems& items : piece.items) {
        EXPECT_GE(items.at, at);
        EXPECT_LT(items.at - at, kAlignment);
        at = items.at + items.bytes;
      }
      EXPECT_EQ(at, piece.bytes);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Bounds, UnitPiecesTest, testing::Values(1, 64, 700, 3000, 1 << 20));

TEST(UnitPieces, WhatFitsIsOnePiece) {
  const auto backend = make_backend("reference", {});
  const UnitSpec unit = some_matrices_and_vectors(backend->panel_outputs());
  const UnitLayout layout = layout_unit(unit, *backend, {});
  EXPECT_TRUE(cut_unit(unit, layout, 0, UnitPart::block, 1 << 20).empty());
  const std::vector<UnitPiece> kept = cut_unit(unit, layout, 0, UnitPart::kept, 1 << 20);
  ASSERT_EQ(kept.size(), 1U);
  EXPECT_EQ(kept[0].items.size(), 5U) << "an empty vector has no items";
}

}  // namespace
}  // namespace gridmill::checkpoint_detail
