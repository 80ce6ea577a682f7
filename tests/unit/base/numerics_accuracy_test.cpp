// Every bound that numerics.hpp states, against long double over dense samples of the range.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "gridmill/base/numerics.hpp"

namespace gridmill {
namespace {

using Reference = long double (*)(long double);

/// Size of an fp32 ulp at `value`.
long double ulp_of(long double value) {
  const int exponent = std::max(std::ilogb(value), -126);
  return std::ldexp(1.0L, exponent - 23);
}

/// Largest error in ulp over `samples` floats between `first` and `last` (of one sign), evenly
/// spaced in their bits. Results that fp32 cannot hold as normal numbers are left out.
long double worst_ulp(float (*function)(float), Reference reference, float first, float last,
                      std::uint32_t samples = 400000) {
  std::uint32_t low = std::bit_cast<std::uint32_t>(first);
  std::uint32_t high = std::bit_cast<std::uint32_t>(last);
  if (low > high) std::swap(low, high);
  const std::uint32_t step = std::max<std::uint32_t>(1, (high - low) / samples);
  long double worst = 0;
  for (std::uint64_t bits = low; bits <= high; bits += step) {
    const float x = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
    const long double want = reference(x);
    if (std::fabs(want) < std::numeric_limits<float>::min() ||
        std::fabs(want) > std::numeric_limits<float>::max()) {
      continue;
    }
    const float got = function(x);
    if (!std::isfinite(got)) return std::numeric_limits<long double>::infinity();
    worst = std::max(worst, std::fabs(got - want) / ulp_of(want));
  }
  return worst;
}

long double exact_exp(long double x) { return std::exp(x); }
long double exact_log(long double x) { return std::log(x); }
long double exact_log1p(long double x) { return std::log1p(x); }
long double exact_tanh(long double x) { return std::tanh(x); }
long double exact_sigmoid(long double x) { return 1.0L / (1.0L + std::exp(-x)); }
long double exact_silu(long double x) { return x * exact_sigmoid(x); }
long double exact_log_sigmoid(long double x) {
  return std::min(x, 0.0L) - std::log1p(std::exp(-std::fabs(x)));
}
long double exact_gelu(long double x) {
  const long double inner = std::sqrt(2.0L / std::acos(-1.0L)) * (x + 0.044715L * x * x * x);
  return x / (1.0L + std::exp(-2.0L * inner));
}

TEST(NumericsAccuracy, ExpIsWithin2Ulp) {
  EXPECT_LE(worst_ulp(exp_f32, exact_exp, 1e-8F, numerics::kExpMax), 2.0L);
  EXPECT_LE(worst_ulp(exp_f32, exact_exp, -1e-8F, numerics::kExpMin), 2.0L);
  EXPECT_LE(worst_ulp(exp_f32, exact_exp, 0.25F, 16.0F), 2.0L);
  EXPECT_LE(worst_ulp(exp_f32, exact_exp, -0.25F, -16.0F), 2.0L);
}

TEST(NumericsAccuracy, LogIsWithin2Ulp) {
  EXPECT_LE(worst_ulp(log_f32, exact_log, std::numeric_limits<float>::min(),
                      std::numeric_limits<float>::max()),
            2.0L);
  EXPECT_LE(worst_ulp(log_f32, exact_log, 0.5F, 2.0F), 2.0L);
  // Next to 1 the result is small and every float counts.
  EXPECT_LE(worst_ulp(log_f32, exact_log, 0.999F, 1.001F), 2.0L);
}

TEST(NumericsAccuracy, Log1pIsWithin3Ulp) {
  EXPECT_LE(worst_ulp(log1p_f32, exact_log1p, std::numeric_limits<float>::min(), 1.0F), 3.0L);
  EXPECT_LE(worst_ulp(log1p_f32, exact_log1p, 1e-4F, 1.0F), 3.0L);
}

TEST(NumericsAccuracy, SigmoidIsWithin3Ulp) {
  EXPECT_LE(worst_ulp(sigmoid_f32, exact_sigmoid, 1e-8F, 100.0F), 3.0L);
  EXPECT_LE(worst_ulp(sigmoid_f32, exact_sigmoid, -1e-8F, -87.0F), 3.0L);
  EXPECT_LE(worst_ulp(sigmoid_f32, exact_sigmoid, -0.25F, -32.0F), 3.0L);
}

TEST(NumericsAccuracy, LogSigmoidIsWithin3Ulp) {
  EXPECT_LE(worst_ulp(log_sigmoid_f32, exact_log_sigmoid, 1e-8F, 87.0F), 3.0L);
  EXPECT_LE(worst_ulp(log_sigmoid_f32, exact_log_sigmoid, 0.25F, 32.0F), 3.0L);
  EXPECT_LE(worst_ulp(log_sigmoid_f32, exact_log_sigmoid, -1e-8F, -1e30F), 3.0L);
}

TEST(NumericsAccuracy, TanhIsWithin2Ulp) {
  EXPECT_LE(worst_ulp(tanh_f32, exact_tanh, std::numeric_limits<float>::min(), 20.0F), 2.0L);
  EXPECT_LE(worst_ulp(tanh_f32, exact_tanh, 0.25F, 4.0F), 2.0L);
}

TEST(NumericsAccuracy, SiluIsWithin4Ulp) {
  EXPECT_LE(worst_ulp(silu_f32, exact_silu, 1e-8F, 100.0F), 4.0L);
  EXPECT_LE(worst_ulp(silu_f32, exact_silu, -1e-8F, -80.0F), 4.0L);
}

TEST(NumericsAccuracy, GeluIsWithin3UlpForPositiveArguments) {
  EXPECT_LE(worst_ulp(gelu_tanh_f32, exact_gelu, 1e-8F, 100.0F), 3.0L);
}

// 1 + tanh cancels: the error of tanh, at most 2 ulp of a number below 1, stays as it is.
TEST(NumericsAccuracy, GeluOfNegativeArgumentsErrsByAtMost2ToMinus23OfThem) {
  for (int i = 0; i < 200000; ++i) {
    const float x = -1e-6F * std::exp(static_cast<float>(i) * 8.6e-5F);  // -1e-6 .. -29
    const long double error = std::fabs(gelu_tanh_f32(x) - exact_gelu(x));
    ASSERT_LE(error, -static_cast<long double>(x) * 0x1p-23L) << x;
  }
}

TEST(NumericsAccuracy, TheMeasureSeesAnErrorOfAnUlp) {
  const auto off_by_one = [](float x) {
    return std::nextafter(static_cast<float>(std::exp(static_cast<long double>(x))), 1e30F);
  };
  EXPECT_GT(worst_ulp(off_by_one, exact_exp, 0.25F, 16.0F, 1000), 1.0L);
}

}  // namespace
}  // namespace gridmill
