#include "gridmill/base/numerics.hpp"

#include <cmath>
#include <cstddef>
#include <limits>

namespace gridmill {

namespace {

/// c[0] + x (c[1] + x (...)): one fma a coefficient, highest power first.
template <std::size_t N>
float horner(const std::array<float, N>& coefficients, float x) {
  float value = coefficients[N - 1];
  for (std::size_t i = N - 1; i-- > 0;) value = std::fma(value, x, coefficients[i]);
  return value;
}

}  // namespace

float exp_f32(float x) {
  using namespace numerics;
  if (std::isnan(x)) return x;
  if (x > kExpMax) return std::numeric_limits<float>::infinity();
  if (x < kExpMin) return 0.0F;
  const float k = std::nearbyint(x * kLog2E);
  float r = std::fma(-k, kLn2High, x);
  r = std::fma(-k, kLn2Low, r);
  const float power = std::fma(r * r, horner(kExpPoly, r), r) + 1.0F;
  // Two exact scalings: k may be 128, which no single normal power of two represents.
  const auto k1 = static_cast<std::int32_t>(k) / 2;
  const auto k2 = static_cast<std::int32_t>(k) - k1;
  const float scale1 = std::bit_cast<float>(static_cast<std::uint32_t>(k1 + 127) << 23);
  const float scale2 = std::bit_cast<float>(static_cast<std::uint32_t>(k2 + 127) << 23);
  return power * scale1 * scale2;
}

float log_f32(float x) {
  using namespace numerics;
  if (std::isnan(x) || x < 0.0F) return std::numeric_limits<float>::quiet_NaN();
  if (x < std::numeric_limits<float>::min()) return -std::numeric_limits<float>::infinity();
  if (std::isinf(x)) return x;
  const auto bits = std::bit_cast<std::uint32_t>(x);
  auto e = static_cast<float>(static_cast<std::int32_t>(bits >> 23) - 126);
  float m = std::bit_cast<float>((bits & 0x007FFFFFU) | 0x3F000000U);  // [1/2, 1)
  if (m < kSqrtHalf) {
    e -= 1.0F;
    m = m + m;
  }
  const float f = m - 1.0F;
  const float f2 = f * f;
  float tail = f2 * f * horner(kLogPoly, f);
  tail = std::fma(e, kLn2Low, tail);
  tail = std::fma(-0.5F, f2, tail);
  return std::fma(e, kLn2High, f + tail);
}

float log1p_f32(float y) {
  // log(u) y / (u - 1) with u = 1 + y rounded undoes the rounding of u (Kahan).
  const float u = 1.0F + y;
  if (u == 1.0F) return y;
  return log_f32(u) * (y / (u - 1.0F));
}

float sigmoid_f32(float x) { return 1.0F / (1.0F + exp_f32(-x)); }

float log_sigmoid_f32(float x) {
  const float negative_part = x < 0.0F ? x : 0.0F;
  return negative_part - log1p_f32(exp_f32(-std::fabs(x)));
}

float tanh_f32(float x) {
  const float a = std::fabs(x);
  if (a < 0.625F) {
    // x + x^3 P(x^2). Constants: Cephes tanhf (Moshier).
    constexpr std::array<float, 5> kPoly = {-3.33332819422E-1F, 1.33314422036E-1F,
                                            -5.37397155531E-2F, 2.06390887954E-2F,
                                            -5.70498872745E-3F};
    const float s = x * x;
    return std::fma(x * s, horner(kPoly, s), x);
  }
  const float y = 1.0F - 2.0F / (exp_f32(a + a) + 1.0F);
  return std::copysign(y, x);
}

float soft_cap_f32(float x, float cap) { return cap == 0.0F ? x : cap * tanh_f32(x / cap); }

float silu_f32(float x) { return x * sigmoid_f32(x); }

float gelu_tanh_f32(float x) {
  constexpr float kSqrtTwoOverPi = 0.7978845608028654F;
  const float inner = kSqrtTwoOverPi * std::fma(0.044715F * x, x * x, x);
  return 0.5F * x * (1.0F + tanh_f32(inner));
}

float erf_f32(float x) {
  using namespace numerics;
  const float a = std::fabs(x);
  if (a < 1.0F) return std::fma(x, horner(kErfPoly, x * x), x);
  const float y = 1.0F - exp_f32(-horner(kErfTailPoly, a > kErfMax ? kErfMax : a));
  return std::copysign(y, x);
}

float gelu_f32(float x) { return 0.5F * x * (1.0F + erf_f32(x * numerics::kSqrtHalf)); }

float lane_tree_sum(const std::array<float, 16>& lanes) {
  std::array<float, 16> sum = lanes;
  for (std::size_t half = 8; half > 0; half /= 2) {
    for (std::size_t i = 0; i < half; ++i) sum[i] += sum[i + half];
  }
  return sum[0];
}

float lane_sum(std::span<const float> values) {
  std::array<float, 16> lanes{};
  for (std::size_t i = 0; i < values.size(); ++i) lanes[i % 16] += values[i];
  return lane_tree_sum(lanes);
}

float activate_f32(Activation activation, float x) {
  switch (activation) {
    case Activation::identity:
      return x;
    case Activation::silu:
      return silu_f32(x);
    case Activation::gelu_tanh:
      return gelu_tanh_f32(x);
    case Activation::relu:
      return x > 0.0F ? x : 0.0F;
    case Activation::relu_squared:
      return x > 0.0F ? x * x : 0.0F;
    case Activation::sigmoid:
      return sigmoid_f32(x);
    case Activation::selu: {
      constexpr float kAlpha = 1.6732632423543772F;
      constexpr float kScale = 1.0507009873554805F;
      return kScale * (x > 0.0F ? x : kAlpha * (exp_f32(x) - 1.0F));
    }
    case Activation::gelu:
      return gelu_f32(x);
  }
  return x;
}

}  // namespace gridmill
