#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "convert/parameter_take_detail.hpp"

namespace gridmill {
namespace {

using convert_detail::Extents;
using convert_detail::ForeignTensor;
using convert_detail::ParameterTake;
using convert_detail::read_parameter;
using convert_detail::take_rows;
using convert_detail::take_whole;
using convert_detail::take_zeros;

/// Element i has the value i.
class Counting final : public ForeignTensor {
 public:
  explicit Counting(const Extents& shape) : ForeignTensor("t", "f", shape, "F32") {}
  [[nodiscard]] bool floating() const override { return true; }
  [[nodiscard]] DType stored_as() const override { return DType::fp32; }
  void read(std::int64_t first, std::span<float> out) const override {
    std::iota(out.begin(), out.end(), static_cast<float>(first));
  }
};

/// The parameter as read in pieces of `piece_elements`.
std::vector<float> taken(const ParameterSpec& spec, const ParameterTake& take,
                         std::int64_t piece_elements) {
  const Counting tensor(take.shape);
  std::vector<float> values;
  read_parameter(spec, take, take.tensor.empty() ? nullptr : &tensor, piece_elements,
                 [&](std::span<const float> piece) {
                   values.insert(values.end(), piece.begin(), piece.end());
                 });
  return values;
}

/// Pieces of one row, of some rows, and of everything.
class EveryPieceSize : public testing::TestWithParam<std::int64_t> {};
INSTANTIATE_TEST_SUITE_P(Sizes, EveryPieceSize, testing::Values(1, 5, 7, 12, 1000));

TEST_P(EveryPieceSize, AWholeTensorIsCopied) {
  const ParameterSpec spec{"p", {4, 3}};
  EXPECT_EQ(taken(spec, take_whole("t", spec), GetParam()),
            (std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}));
}

TEST_P(EveryPieceSize, RowsOfAFusedTensorAreASection) {
  const ParameterSpec spec{"p", {2, 3}};
  const ParameterTake take = take_rows("t", spec, 1, 4);
  EXPECT_EQ(take.shape, (Extents{4, 3}));
  EXPECT_EQ(taken(spec, take, GetParam()), (std::vector<float>{3, 4, 5, 6, 7, 8}));
}

TEST_P(EveryPieceSize, AVectorIsAMatrixOfOneColumn) {
  const ParameterSpec spec{"p", {3}};
  EXPECT_EQ(taken(spec, take_rows("t", spec, 2, 6), GetParam()), (std::vector<float>{2, 3, 4}));
}

TEST_P(EveryPieceSize, ATransposedTensorIsTurned) {
  const ParameterSpec spec{"p", {4, 3}};  // of a tensor [3, 4]
  const ParameterTake take{
      .tensor = "t",
      .shape = {3, 4},
      .blocks = {
          {.rows = {0, 4}, .columns = {0, 3}, .first = 0, .row_stride = 1, .column_stride = 4}}};
  EXPECT_EQ(taken(spec, take, GetParam()),
            (std::vector<float>{0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11}));
}

TEST_P(EveryPieceSize, InterleavedRotaryPairsBecomeHalves) {
  const ParameterSpec spec{"p", {8, 1}};
  ParameterTake take = take_whole("t", spec);
  take.rotary_width = 4;
  EXPECT_EQ(taken(spec, take, GetParam()), (std::vector<float>{0, 2, 1, 3, 4, 6, 5, 7}));
}

TEST_P(EveryPieceSize, OnlyTheRotatedRowsOfAHeadAreReordered) {
  const ParameterSpec spec{"p", {12, 1}};
  ParameterTake take = take_whole("t", spec);
  take.rotary_width = 6;
  take.rotated_rows = 4;
  EXPECT_EQ(taken(spec, take, GetParam()),
            (std::vector<float>{0, 2, 1, 3, 4, 5, 6, 8, 7, 9, 10, 11}));
}

TEST_P(EveryPieceSize, AShiftIsAddedToEveryElement) {
  const ParameterSpec spec{"p", {3}};
  ParameterTake take = take_whole("t", spec);
  take.shift = 1;
  EXPECT_EQ(taken(spec, take, GetParam()), (std::vector<float>{1, 2, 3}));
}

TEST_P(EveryPieceSize, EverySecondColumnOfATransposedTensorIsAMatrix) {
  const ParameterSpec spec{"p", {3, 2}};  // columns 1, 3, 5 of a tensor [2, 6]
  const ParameterTake take{
      .tensor = "t",
      .shape = {2, 6},
      .blocks = {
          {.rows = {0, 3}, .columns = {0, 2}, .first = 1, .row_stride = 2, .column_stride = 6}}};
  EXPECT_EQ(taken(spec, take, GetParam()), (std::vector<float>{1, 7, 3, 9, 5, 11}));
}

TEST_P(EveryPieceSize, PairsOfATransposedTensorAreReorderedToo) {
  const ParameterSpec spec{"p", {4, 2}};  // of a tensor [2, 4]
  const ParameterTake take{
      .tensor = "t",
      .shape = {2, 4},
      .blocks =
          {{.rows = {0, 4}, .columns = {0, 2}, .first = 0, .row_stride = 1, .column_stride = 4}},
      .rotary_width = 4};
  EXPECT_EQ(taken(spec, take, GetParam()), (std::vector<float>{0, 4, 2, 6, 1, 5, 3, 7}));
}

TEST_P(EveryPieceSize, BlocksOfColumnsComeFromDifferentPlaces) {
  const ParameterSpec spec{"p", {2, 4}};  // two parts [2, 2] one after the other
  const ParameterTake take{.tensor = "t",
                           .shape = {2, 2, 2},
                           .blocks = {{{0, 2}, {0, 2}, 0, 2, 1}, {{0, 2}, {2, 2}, 4, 2, 1}}};
  EXPECT_EQ(taken(spec, take, GetParam()), (std::vector<float>{0, 1, 4, 5, 2, 3, 6, 7}));
}

TEST_P(EveryPieceSize, WhatNoBlockCoversIsZero) {
  const ParameterSpec spec{"p", {2, 3}};
  const ParameterTake take{.tensor = "t",
                           .shape = {2},
                           .blocks = {{{0, 1}, {2, 1}, 1, 1, 1}, {{1, 1}, {0, 1}, 0, 1, 1}}};
  EXPECT_EQ(taken(spec, take, GetParam()), (std::vector<float>{0, 0, 1, 0, 0, 0}));
  EXPECT_EQ(taken(spec, take_zeros(spec), GetParam()), std::vector<float>(6, 0.0F));
}

TEST(ParameterTake, APieceIsNeverLargerThanAskedUnlessARowIs) {
  const ParameterSpec spec{"p", {10, 3}};
  const ParameterTake take = take_whole("t", spec);
  const Counting tensor(take.shape);
  std::vector<std::size_t> sizes;
  const auto note = [&](std::span<const float> piece) { sizes.push_back(piece.size()); };
  read_parameter(spec, take, &tensor, 12, note);
  EXPECT_EQ(sizes, (std::vector<std::size_t>{12, 12, 6}));
  sizes.clear();
  read_parameter(spec, take, &tensor, 2, note);
  EXPECT_EQ(sizes, std::vector<std::size_t>(10, 3));
}

}  // namespace
}  // namespace gridmill
