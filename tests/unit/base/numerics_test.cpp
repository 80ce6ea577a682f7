#include "gridmill/base/numerics.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace gridmill {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kMin = std::numeric_limits<float>::min();

TEST(Exp, KnownPoints) {
  EXPECT_EQ(exp_f32(0.0F), 1.0F);
  EXPECT_EQ(exp_f32(-0.0F), 1.0F);
  EXPECT_EQ(exp_f32(kInf), kInf);
  EXPECT_EQ(exp_f32(-kInf), 0.0F);
  EXPECT_TRUE(std::isnan(exp_f32(kNan)));
}

TEST(Exp, OverflowsExactlyAboveItsLimit) {
  EXPECT_TRUE(std::isfinite(exp_f32(numerics::kExpMax)));
  EXPECT_EQ(exp_f32(std::nextafter(numerics::kExpMax, kInf)), kInf);
  // The true value there lies beyond the largest fp32.
  EXPECT_GT(std::exp(static_cast<double>(std::nextafter(numerics::kExpMax, kInf))),
            static_cast<double>(std::numeric_limits<float>::max()));
}

TEST(Exp, NeverGivesASubnormal) {
  EXPECT_GE(exp_f32(numerics::kExpMin), kMin);
  EXPECT_EQ(exp_f32(std::nextafter(numerics::kExpMin, -kInf)), 0.0F);
  EXPECT_EQ(exp_f32(-1000.0F), 0.0F);
}

TEST(Log, KnownPoints) {
  EXPECT_EQ(log_f32(1.0F), 0.0F);
  EXPECT_EQ(log_f32(0.0F), -kInf);
  EXPECT_EQ(log_f32(-0.0F), -kInf);
  EXPECT_EQ(log_f32(kInf), kInf);
  EXPECT_TRUE(std::isnan(log_f32(-1.0F)));
  EXPECT_TRUE(std::isnan(log_f32(-kInf)));
  EXPECT_TRUE(std::isnan(log_f32(kNan)));
}

TEST(Log, SubnormalsCountAsZero) {
  EXPECT_TRUE(std::isfinite(log_f32(kMin)));
  EXPECT_EQ(log_f32(std::nextafter(kMin, 0.0F)), -kInf);
}

TEST(Log1p, TinyArgumentsAreTheirOwnResult) {
  EXPECT_EQ(log1p_f32(0.0F), 0.0F);
  EXPECT_EQ(log1p_f32(1e-20F), 1e-20F);
}

TEST(Sigmoid, KnownPoints) {
  EXPECT_EQ(sigmoid_f32(0.0F), 0.5F);
  EXPECT_EQ(sigmoid_f32(kInf), 1.0F);
  EXPECT_EQ(sigmoid_f32(-kInf), 0.0F);
  EXPECT_EQ(sigmoid_f32(-200.0F), 0.0F);
  EXPECT_EQ(sigmoid_f32(200.0F), 1.0F);
  EXPECT_TRUE(std::isnan(sigmoid_f32(kNan)));
}

TEST(LogSigmoid, KnownPoints) {
  EXPECT_EQ(log_sigmoid_f32(kInf), 0.0F);
  EXPECT_EQ(log_sigmoid_f32(-kInf), -kInf);
  EXPECT_EQ(log_sigmoid_f32(-200.0F), -200.0F);
  EXPECT_TRUE(std::isnan(log_sigmoid_f32(kNan)));
}

TEST(Tanh, KnownPoints) {
  EXPECT_EQ(tanh_f32(0.0F), 0.0F);
  EXPECT_EQ(tanh_f32(kInf), 1.0F);
  EXPECT_EQ(tanh_f32(-kInf), -1.0F);
  EXPECT_EQ(tanh_f32(50.0F), 1.0F);
  EXPECT_TRUE(std::isnan(tanh_f32(kNan)));
}

TEST(Tanh, IsOdd) {
  for (int i = -200; i < 50; ++i) {
    const float x = std::pow(1.0625F, static_cast<float>(i));  // 5e-6 .. 20
    EXPECT_EQ(tanh_f32(-x), -tanh_f32(x)) << x;
  }
}

TEST(SoftCap, IsTheIdentityForCapZero) {
  EXPECT_EQ(soft_cap_f32(123.0F, 0.0F), 123.0F);
  EXPECT_EQ(soft_cap_f32(-kInf, 0.0F), -kInf);
}

TEST(SoftCap, StaysWithinTheCap) {
  EXPECT_EQ(soft_cap_f32(kInf, 15.0F), 15.0F);
  EXPECT_EQ(soft_cap_f32(-1e30F, 15.0F), -15.0F);
  EXPECT_EQ(soft_cap_f32(3.0F, 15.0F), 15.0F * tanh_f32(3.0F / 15.0F));
}

TEST(Activations, EachNameIsItsFunction) {
  for (const float x : {-3.0F, -0.5F, 0.0F, 0.5F, 3.0F}) {
    const float positive = x > 0.0F ? x : 0.0F;
    EXPECT_EQ(activate_f32(Activation::identity, x), x);
    EXPECT_EQ(activate_f32(Activation::silu, x), silu_f32(x));
    EXPECT_EQ(activate_f32(Activation::gelu_tanh, x), gelu_tanh_f32(x));
    EXPECT_EQ(activate_f32(Activation::relu, x), positive);
    EXPECT_EQ(activate_f32(Activation::relu_squared, x), positive * positive);
    EXPECT_EQ(activate_f32(Activation::sigmoid, x), sigmoid_f32(x));
    EXPECT_EQ(activate_f32(Activation::gelu, x), gelu_f32(x));
  }
}

TEST(Erf, IsWithinTwoUlp) {
  for (int i = 1; i < 60000; ++i) {
    const float x = static_cast<float>(i) * 1e-4F;
    const float expected = static_cast<float>(std::erf(static_cast<double>(x)));
    EXPECT_LE(std::fabs(erf_f32(x) - expected), 2 * (std::nextafter(expected, 2.0F) - expected))
        << x;
    EXPECT_EQ(erf_f32(-x), -erf_f32(x)) << x;
  }
  EXPECT_EQ(erf_f32(kInf), 1.0F);
  EXPECT_TRUE(std::isnan(erf_f32(kNan)));
}

TEST(Gelu, ErrsByAFewUnitsOfItsArgument) {
  for (int i = -9000; i < 9000; ++i) {
    const double x = i * 1e-3;
    const double expected = x / 2 * std::erfc(-x * std::sqrt(0.5));
    EXPECT_NEAR(gelu_f32(static_cast<float>(x)), expected, 0x1p-22 * std::fabs(x) + 1e-9) << x;
  }
}

// Klambauer et al. 2017: fixed point of mean 0 and variance 1; selu'(0+) is the scale.
TEST(Activations, SeluHasThePublishedConstants) {
  EXPECT_EQ(activate_f32(Activation::selu, 1.0F), 1.0507009873554805F);
  EXPECT_NEAR(activate_f32(Activation::selu, -1.0F),
              1.0507009873554805 * 1.6732632423543772 * std::expm1(-1.0), 2e-7);
  EXPECT_EQ(activate_f32(Activation::selu, -kInf), -1.0507009873554805F * 1.6732632423543772F);
}

TEST(LaneTreeSum, JoinsEightThenFourThenTwoThenOne) {
  // 2^24 + 1 rounds to 2^24, so the grouping shows in the result.
  std::array<float, 16> lanes{};
  lanes[0] = 0x1p24F;
  lanes[8] = 1.0F;  // lost: joins lane 0 first
  lanes[4] = 1.0F;  // survives with lane 12
  lanes[12] = 1.0F;
  EXPECT_EQ(lane_tree_sum(lanes), 0x1p24F + 2.0F);
  lanes = {};
  lanes[0] = 0x1p24F;
  lanes[1] = 1.0F;  // survives: lanes 1 and 9 meet before lane 0
  lanes[9] = 1.0F;
  EXPECT_EQ(lane_tree_sum(lanes), 0x1p24F + 2.0F);
  lanes = {};
  lanes[0] = 0x1p24F;
  lanes[1] = 1.0F;  // lost: lanes 0 and 2 have met, lane 1 is alone
  lanes[2] = 0.0F;
  EXPECT_EQ(lane_tree_sum(lanes), 0x1p24F);
}

TEST(LaneSum, ElementsOfALaneFormAnAscendingChain) {
  std::vector<float> values(40, 0.0F);
  values[0] = 0x1p24F;
  values[16] = 1.0F;
  values[32] = 1.0F;
  EXPECT_EQ(lane_sum(values), 0x1p24F);  // (2^24 + 1) + 1, both lost
  values[0] = 1.0F;
  values[32] = 0x1p24F;
  EXPECT_EQ(lane_sum(values), 0x1p24F + 2.0F);  // (1 + 1) + 2^24
}

TEST(LaneSum, EveryLengthEqualsTheDefinition) {
  std::vector<float> values;
  for (int n = 0; n <= 70; ++n) {
    std::array<float, 16> lanes{};
    for (std::size_t i = 0; i < values.size(); ++i) lanes[i % 16] += values[i];
    ASSERT_EQ(lane_sum(values), lane_tree_sum(lanes)) << n;
    values.push_back(std::sin(static_cast<float>(n)) * 1000.0F);
  }
}

TEST(LaneSum, OfNothingIsZero) { EXPECT_EQ(lane_sum({}), 0.0F); }

}  // namespace
}  // namespace gridmill
