#include "gridmill/params/quantize.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "gridmill/base/dtype.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/params/shape.hpp"

namespace gridmill {
namespace {

constexpr WeightFormat kInt8 = {WeightCodes::int8, 32};
constexpr WeightFormat kInt4 = {WeightCodes::int4, 32};

/// Values of a normal distribution.
std::vector<float> values_of(std::size_t count, unsigned seed = 1) {
  std::mt19937 engine(seed);
  std::vector<float> values(count);
  for (float& value : values) {
    double sum = 0;
    for (int i = 0; i < 12; ++i) sum += static_cast<double>(engine()) * 0x1p-32;
    value = static_cast<float>((sum - 6) * 0.02);
  }
  return values;
}

struct Coded {
  std::vector<std::byte> codes;
  std::vector<std::uint16_t> scales;
  std::vector<float> back;
};
Coded coded(const std::vector<float>& values, const WeightFormat& format, std::int64_t block) {
  Coded result;
  result.codes.resize(values.size());
  result.back.resize(values.size());
  result.scales.resize(static_cast<std::size_t>(
      groups_in(static_cast<std::int64_t>(values.size()), block, format.group)));
  quantize_row(values, format, block, result.codes, result.scales);
  dequantize_row(result.codes, result.scales, format, block, result.back);
  return result;
}

double squared_error(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += std::pow(double{a[i]} - double{b[i]}, 2);
  return sum;
}

/// The usual rounding: the largest magnitude of a group gets the largest code.
double error_by_maximum(const std::vector<float>& values, float most, std::size_t group) {
  double sum = 0;
  for (std::size_t first = 0; first < values.size(); first += group) {
    float largest = 0;
    for (std::size_t i = first; i < first + group; ++i) {
      largest = std::max(largest, std::fabs(values[i]));
    }
    for (std::size_t i = first; i < first + group; ++i) {
      const float scale = largest / most;
      sum += std::pow(double{values[i]} - double{std::nearbyint(values[i] / scale) * scale}, 2);
    }
  }
  return sum;
}

TEST(Groups, RestartAtEveryBlock) {
  EXPECT_EQ(groups_in(0, 5, 32), 0);
  EXPECT_EQ(groups_in(64, 64, 32), 2);
  EXPECT_EQ(groups_in(65, 65, 32), 3);
  EXPECT_EQ(groups_in(80, 40, 32), 4);
  EXPECT_EQ(groups_in(70, 40, 32), 3);
  const MatrixShape shape{.outputs = 1,
                          .inputs = 86,
                          .row_parallel = true,
                          .whole_inputs = 344,
                          .format = {WeightCodes::int8, 32}};
  EXPECT_EQ(shape.group_block(), 44);
  EXPECT_EQ(shape.groups(), 4);
  EXPECT_EQ(shape.coded_row_bytes(), 86 + 8);
}

TEST(Quantize, LeavesAtMostHalfAStep) {
  const std::vector<float> values = values_of(320);
  const Coded result = coded(values, kInt8, 320);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float step = fp16_to_fp32(result.scales[i / 32]);
    // The largest value may be clipped by 0.4 of a step more (kInt8Peaks).
    EXPECT_LE(std::fabs(values[i] - result.back[i]), 0.95F * step) << i;
  }
}

TEST(Quantize, HasASmallerErrorThanScalesByTheMaximum) {
  const std::vector<float> values = values_of(32 * 200);
  const auto inputs = static_cast<std::int64_t>(values.size());
  EXPECT_LT(squared_error(values, coded(values, kInt8, inputs).back),
            0.97 * error_by_maximum(values, 127.0F, 32));
  EXPECT_LT(squared_error(values, coded(values, kInt4, inputs).back),
            0.85 * error_by_maximum(values, 7.0F, 32));
}

TEST(Quantize, CodesAndScalesComeBackExactly) {
  // What codes can hold is held, whatever the search finds: a value of code 127 (int4: -8) is
  // there.
  for (const WeightFormat& format : {kInt8, kInt4}) {
    const bool int8 = format.codes == WeightCodes::int8;
    std::vector<float> values(64);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const int code = int8 ? static_cast<int>(i * 4 % 255) - 127 : static_cast<int>(i % 16) - 8;
      values[i] = 0.125F * static_cast<float>(code);
    }
    EXPECT_EQ(coded(values, format, 64).back, values);
  }
}

TEST(Quantize, GroupsRestartAtBlocks) {
  std::vector<float> values(80, 1.0F);
  std::fill(values.begin() + 40, values.end(), 4.0F);
  const Coded result = coded(values, kInt8, 40);
  ASSERT_EQ(result.scales.size(), 4U);
  EXPECT_EQ(result.scales[0], result.scales[1]);
  EXPECT_EQ(result.scales[2], result.scales[3]);
  EXPECT_EQ(fp16_to_fp32(result.scales[2]), 4 * fp16_to_fp32(result.scales[0]));
}

TEST(Quantize, ZerosAndTinyValues) {
  const Coded zeros = coded(std::vector<float>(32, -0.0F), kInt8, 32);
  EXPECT_EQ(zeros.scales[0], 0U);
  EXPECT_EQ(zeros.codes, std::vector<std::byte>(32));
  // Below the smallest fp16 scale nothing is left, and nothing is worse than 0.
  const Coded tiny = coded(std::vector<float>(32, 1e-12F), kInt4, 32);
  EXPECT_EQ(tiny.back, std::vector<float>(32));
}

TEST(Quantize, RefusesWhatCodesCannotHold) {
  for (const float value :
       {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN(), 1e9F}) {
    std::vector<float> values(32, 1.0F);
    values[7] = value;
    EXPECT_THROW(static_cast<void>(coded(values, kInt8, 32)), FormatError) << value;
  }
}

TEST(Int4Rows, TwoCodesShareAByte) {
  std::vector<std::byte> codes;
  for (int code = -8; code < 7; ++code) {
    codes.push_back(static_cast<std::byte>(static_cast<std::int8_t>(code)));
  }
  std::vector<std::byte> pairs(8);
  pack_int4_row(codes, pairs);
  EXPECT_EQ(pairs[0], std::byte{0x10});
  EXPECT_EQ(pairs[7], std::byte{0x8E}) << "a missing last code is 0";
  std::vector<std::byte> back(codes.size());
  unpack_int4_row(pairs, back);
  EXPECT_EQ(back, codes);
}

}  // namespace
}  // namespace gridmill
