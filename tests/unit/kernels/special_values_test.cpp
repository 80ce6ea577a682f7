#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "unit/kernels/candidate_test.hpp"
#include "unit/kernels/test_device.hpp"

// NaN, infinities and subnormal numbers in products and rows, on every backend.
namespace gridmill::testing {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kTiny = std::numeric_limits<float>::min();  // smallest normal number

class SpecialValues : public CandidateTest {
 protected:
  [[nodiscard]] static bool bf16() { return GetParam().dtype == DType::bf16; }

  /// y = w x for one output.
  float product(const std::vector<float>& x, const std::vector<float>& w) {
    const auto inputs = static_cast<std::int64_t>(x.size());
    Matrix rows({1, inputs});
    Matrix weights({1, inputs});
    rows.flat() = x;
    weights.flat() = w;
    const DeviceMatrix out = device().matrix(1, 1);
    device().backend().linear(device().stream(), device().pack(rows), device().weight(weights), {},
                              0.0F, out);
    return device().download(out)(0, 0);
  }
};

TEST_P(SpecialValues, ASubnormalInputCountsAsZeroInBf16Only) {
  // 2^-130 * 2^10 is 2^-120, a normal number.
  EXPECT_EQ(product({0x1p-130F, 0.0F}, {0x1p10F, 0.0F}), bf16() ? 0.0F : 0x1p-120F);
  EXPECT_EQ(product({0.0F, 0x1p10F}, {0.0F, 0x1p-130F}), bf16() ? 0.0F : 0x1p-120F);
}

TEST_P(SpecialValues, ASubnormalValueIsNotRoundedUpToANormalOne) {
  const float just_below = std::nextafter(kTiny, 0.0F);  // nearest bf16 is kTiny itself
  EXPECT_EQ(product({just_below, 0.0F}, {0x1p10F, 0.0F}), bf16() ? 0.0F : just_below * 0x1p10F);
}

TEST_P(SpecialValues, ASubnormalSumBecomesZeroInBf16Only) {
  // The first step gives 2^-130; in bf16 mode it is gone before the second adds 2^-126.
  // Inside a pair the odd input comes first, so the steps are 1 and 0 there.
  const std::vector<float> w =
      bf16() ? std::vector<float>{0x1p-63F, 0x1p-65F} : std::vector<float>{0x1p-65F, 0x1p-63F};
  const float sum = product({bf16() ? 0x1p-63F : 0x1p-65F, bf16() ? 0x1p-65F : 0x1p-63F}, w);
  EXPECT_EQ(sum, bf16() ? 0x1p-126F : 0x1p-126F + 0x1p-130F);
}

TEST_P(SpecialValues, AMissingOddInputIsMultipliedAsPlusZeroInBf16Only) {
  // bf16: the first pair flushes to -0; the +0 of the second pair's odd element makes it +0. With
  // four inputs nothing is missing and -0 stays. fp32 keeps -2^-130 all along.
  const float three = product({-0x1p-63F, 0.0F, -0.0F}, {0x1p-67F, 0.0F, 1.0F});
  EXPECT_EQ(three, bf16() ? 0.0F : -0x1p-130F);
  EXPECT_EQ(std::signbit(three), !bf16());
  const float four = product({-0x1p-63F, 0.0F, -0.0F, -0.0F}, {0x1p-67F, 0.0F, 1.0F, 1.0F});
  EXPECT_EQ(four, bf16() ? 0.0F : -0x1p-130F);
  EXPECT_TRUE(std::signbit(four));
}

TEST_P(SpecialValues, DifferencesOfNormalNumbersMayVanish) {
  const float sum = product({1.5F, -1.0F}, {kTiny, kTiny});
  EXPECT_EQ(sum, bf16() ? 0.0F : 0.5F * kTiny);
}

TEST_P(SpecialValues, SubnormalEmbeddingRowsAreZeroInBf16Only) {
  Matrix table({1, 2});
  table(0, 0) = 0x1p-130F;
  table(0, 1) = -0x1p-130F;
  for (const MatrixLayout layout : {MatrixLayout::rows, MatrixLayout::panels}) {
    const Weight w =
        device().weight(table, {.shape = {.outputs = 1, .inputs = 2}, .layout = layout});
    const DeviceMatrix out = device().matrix(1, 2);
    const std::vector<TokenId> ids = {0};
    device().backend().embed(device().stream(), w, 0, ids, out);
    const Matrix row = device().download(out);
    EXPECT_EQ(row(0, 0), bf16() ? 0.0F : 0x1p-130F);
    EXPECT_EQ(row(0, 1), bf16() ? 0.0F : -0x1p-130F);
    EXPECT_TRUE(std::signbit(row(0, 1)));
  }
}

TEST_P(SpecialValues, SubnormalResidualsVanishInBf16Only) {
  Matrix x({1, 1});
  x(0, 0) = 0.75F * kTiny;
  const DeviceMatrix out = device().matrix(x);
  const ConstDeviceVector zero = device().vector({0.0F});
  device().backend().norm_add(device().stream(), device().matrix(Matrix({1, 1}, 1.0F)),
                              {.weight = zero, .bias = {}}, out);
  EXPECT_EQ(device().download(out)(0, 0), bf16() ? 0.0F : 0.75F * kTiny);
}

TEST_P(SpecialValues, TheCallersFloatingPointModeComesBack) {
  static_cast<void>(product({0x1p-130F}, {1.0F}));
  volatile float tiny = kTiny;
  volatile float half = tiny * 0.5F;
  EXPECT_NE(half, 0.0F);
}

TEST_P(SpecialValues, NanAndInfinityGoThroughAProduct) {
  EXPECT_TRUE(std::isnan(product({1.0F, kNan, 1.0F}, {1.0F, 1.0F, 1.0F})));
  EXPECT_TRUE(std::isnan(product({1.0F, 0.0F}, {1.0F, kInfinity})));
  EXPECT_EQ(product({1.0F, 2.0F}, {1.0F, kInfinity}), kInfinity);
}

INSTANTIATE_TEST_SUITE_P(Backends, SpecialValues, ::testing::ValuesIn(all_candidates()), test_name);

}  // namespace
}  // namespace gridmill::testing
