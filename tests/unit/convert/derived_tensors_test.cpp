#include "convert/derived_tensors.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "gridmill/base/error.hpp"

namespace gridmill {
namespace {

using convert_detail::Extents;
using convert_detail::ForeignTensor;
using convert_detail::Mxfp4Tensor;
using convert_detail::StackedTensor;

class Values final : public ForeignTensor {
 public:
  Values(Extents shape, std::vector<float> values, std::string type = "F32")
      : ForeignTensor("t", "f", std::move(shape), std::move(type)), values_(std::move(values)) {}
  [[nodiscard]] bool floating() const override { return type() != "U8"; }
  [[nodiscard]] DType stored_as() const override { return DType::fp32; }
  void read(std::int64_t first, std::span<float> out) const override {
    std::copy_n(values_.begin() + first, out.size(), out.begin());
  }

 private:
  std::vector<float> values_;
};

TEST(StackedTensor, IsItsPartsOneBehindTheOther) {
  const Values a({2}, {1, 2});
  const Values b({2}, {3, 4});
  const Values c({2}, {5, 6});
  const StackedTensor stacked("s", {&a, &b, &c});
  EXPECT_EQ(stacked.shape(), (Extents{6}));
  std::vector<float> all(6);
  stacked.read(0, all);
  EXPECT_EQ(all, (std::vector<float>{1, 2, 3, 4, 5, 6}));
  std::vector<float> middle(3);
  stacked.read(1, middle);
  EXPECT_EQ(middle, (std::vector<float>{2, 3, 4}));
}

/// Two groups: bytes 0x10, 0x32, ... hold the codes 0, 1, 2, 3, ... low half first.
struct Mxfp4 {
  Mxfp4()
      : blocks(
            {1, 2, 16},
            [] {
              std::vector<float> bytes;
              for (int group = 0; group < 2; ++group) {
                for (int i = 0; i < 16; ++i) {
                  bytes.push_back(static_cast<float>((2 * i) % 16 + 16 * ((2 * i + 1) % 16)));
                }
              }
              return bytes;
            }(),
            "U8") {}
  Values blocks;
  Values scales{{1, 2}, {127, 130}, "U8"};
};

TEST(Mxfp4Tensor, IsTheTableOfValuesTimesAPowerOfTwo) {
  const Mxfp4 file;
  const Mxfp4Tensor tensor("m", file.blocks, file.scales);
  EXPECT_EQ(tensor.shape(), (Extents{1, 64}));
  EXPECT_EQ(tensor.stored_as(), DType::bf16);
  std::vector<float> values(64);
  tensor.read(0, values);
  const std::vector<float> table = {0,     .5F,  1,  1.5F,  2,  3,  4,  6,
                                    -0.0F, -.5F, -1, -1.5F, -2, -3, -4, -6};
  for (std::size_t i = 0; i < 32; ++i) {
    EXPECT_EQ(values[i], table[i % 16]) << i;
    EXPECT_EQ(values[32 + i], 8 * table[i % 16]) << i;
  }
  std::vector<float> piece(3);
  tensor.read(31, piece);
  EXPECT_EQ(piece, (std::vector<float>{values[31], values[32], values[33]}));
}

TEST(Mxfp4Tensor, RefusesWhatDoesNotFitOrIsNoNumber) {
  const Mxfp4 file;
  const Values short_scales({1, 1}, {127}, "U8");
  EXPECT_THROW(Mxfp4Tensor("m", file.blocks, short_scales), FormatError);
  const Values floats({1, 2}, {127, 127});
  EXPECT_THROW(Mxfp4Tensor("m", file.blocks, floats), FormatError);
  const Values nan({1, 2}, {127, 255}, "U8");
  const Mxfp4Tensor tensor("m", file.blocks, nan);
  std::vector<float> values(32);
  EXPECT_NO_THROW(tensor.read(0, values));
  EXPECT_THROW(tensor.read(32, values), FormatError);
}

}  // namespace
}  // namespace gridmill
