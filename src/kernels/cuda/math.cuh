// Elementary functions of base/numerics, operation by operation, for device code: the same bits,
// since fp32 operations are IEEE on the device too (no contraction, no fast division).
#pragma once

#include <cmath>
#include <cstdint>
#include <cuda_platform.hpp>
#include <limits>

#include "gridmill/base/dtype.hpp"
#include "gridmill/base/numerics.hpp"

namespace gridmill::cuda {

template <std::size_t N>
GRIDMILL_DEVICE float horner(const float (&coefficients)[N], float x) {
  float value = coefficients[N - 1];
#pragma unroll
  for (int i = static_cast<int>(N) - 2; i >= 0; --i) value = fmaf(value, x, coefficients[i]);
  return value;
}

GRIDMILL_DEVICE float infinity() { return std::numeric_limits<float>::infinity(); }

GRIDMILL_DEVICE float exp_of(float x) {
  constexpr float kPoly[] = {numerics::kExpPoly[0], numerics::kExpPoly[1], numerics::kExpPoly[2],
                             numerics::kExpPoly[3], numerics::kExpPoly[4], numerics::kExpPoly[5]};
  if (x != x) return x;
  if (x > numerics::kExpMax) return infinity();
  if (x < numerics::kExpMin) return 0.0F;
  const float k = rintf(x * numerics::kLog2E);
  float r = fmaf(-k, numerics::kLn2High, x);
  r = fmaf(-k, numerics::kLn2Low, r);
  const float power = fmaf(r * r, horner(kPoly, r), r) + 1.0F;
  const int k1 = static_cast<int>(k) / 2;
  const int k2 = static_cast<int>(k) - k1;
  const float scale1 = std::bit_cast<float>(static_cast<std::uint32_t>(k1 + 127) << 23);
  const float scale2 = std::bit_cast<float>(static_cast<std::uint32_t>(k2 + 127) << 23);
  return power * scale1 * scale2;
}

GRIDMILL_DEVICE float log_of(float x) {
  constexpr float kPoly[] = {numerics::kLogPoly[0], numerics::kLogPoly[1], numerics::kLogPoly[2],
                             numerics::kLogPoly[3], numerics::kLogPoly[4], numerics::kLogPoly[5],
                             numerics::kLogPoly[6], numerics::kLogPoly[7], numerics::kLogPoly[8]};
  if (x != x || x < 0.0F) return std::numeric_limits<float>::quiet_NaN();
  if (x < std::numeric_limits<float>::min()) return -infinity();
  if (x == infinity()) return x;
  const auto bits = std::bit_cast<std::uint32_t>(x);
  auto e = static_cast<float>(static_cast<std::int32_t>(bits >> 23) - 126);
  float m = std::bit_cast<float>((bits & 0x007FFFFFU) | 0x3F000000U);
  if (m < numerics::kSqrtHalf) {
    e -= 1.0F;
    m = m + m;
  }
  const float f = m - 1.0F;
  const float f2 = f * f;
  float tail = f2 * f * horner(kPoly, f);
  tail = fmaf(e, numerics::kLn2Low, tail);
  tail = fmaf(-0.5F, f2, tail);
  return fmaf(e, numerics::kLn2High, f + tail);
}

GRIDMILL_DEVICE float log1p_of(float y) {
  const float u = 1.0F + y;
  if (u == 1.0F) return y;
  return log_of(u) * (y / (u - 1.0F));
}

GRIDMILL_DEVICE float sigmoid_of(float x) { return 1.0F / (1.0F + exp_of(-x)); }

GRIDMILL_DEVICE float log_sigmoid_of(float x) {
  const float negative_part = x < 0.0F ? x : 0.0F;
  return negative_part - log1p_of(exp_of(-fabsf(x)));
}

GRIDMILL_DEVICE float tanh_of(float x) {
  const float a = fabsf(x);
  if (a < 0.625F) {
    constexpr float kPoly[] = {-3.33332819422E-1F, 1.33314422036E-1F, -5.37397155531E-2F,
                               2.06390887954E-2F, -5.70498872745E-3F};
    const float s = x * x;
    return fmaf(x * s, horner(kPoly, s), x);
  }
  const float y = 1.0F - 2.0F / (exp_of(a + a) + 1.0F);
  return copysignf(y, x);
}

GRIDMILL_DEVICE float soft_cap_of(float x, float cap) {
  return cap == 0.0F ? x : cap * tanh_of(x / cap);
}

GRIDMILL_DEVICE float erf_of(float x) {
  using namespace numerics;
  const float a = fabsf(x);
  if (a < 1.0F) {
    constexpr float kPoly[] = {kErfPoly[0], kErfPoly[1], kErfPoly[2], kErfPoly[3],
                               kErfPoly[4], kErfPoly[5], kErfPoly[6], kErfPoly[7]};
    return fmaf(x, horner(kPoly, x * x), x);
  }
  constexpr float kTail[] = {kErfTailPoly[0], kErfTailPoly[1], kErfTailPoly[2], kErfTailPoly[3],
                             kErfTailPoly[4], kErfTailPoly[5], kErfTailPoly[6], kErfTailPoly[7],
                             kErfTailPoly[8], kErfTailPoly[9]};
  const float y = 1.0F - exp_of(-horner(kTail, a > kErfMax ? kErfMax : a));
  return copysignf(y, x);
}

GRIDMILL_DEVICE float activate_of(Activation activation, float x) {
  switch (activation) {
    case Activation::identity:
      return x;
    case Activation::silu:
      return x * sigmoid_of(x);
    case Activation::gelu_tanh: {
      constexpr float kSqrtTwoOverPi = 0.7978845608028654F;
      const float inner = kSqrtTwoOverPi * fmaf(0.044715F * x, x * x, x);
      return 0.5F * x * (1.0F + tanh_of(inner));
    }
    case Activation::relu:
      return x > 0.0F ? x : 0.0F;
    case Activation::relu_squared:
      return x > 0.0F ? x * x : 0.0F;
    case Activation::sigmoid:
      return sigmoid_of(x);
    case Activation::selu: {
      constexpr float kAlpha = 1.6732632423543772F;
      constexpr float kScale = 1.0507009873554805F;
      return kScale * (x > 0.0F ? x : kAlpha * (exp_of(x) - 1.0F));
    }
    case Activation::gelu:
      return 0.5F * x * (1.0F + erf_of(x * numerics::kSqrtHalf));
  }
  return x;
}

/// b > a ? b : a, but NaN if either is NaN.
GRIDMILL_DEVICE float larger_of(float a, float b) {
  if (a != a) return a;
  return b != b || b > a ? b : a;
}

/// Elements of a compute dtype in memory.
template <DType Compute>
struct Element;
template <>
struct Element<DType::fp32> {
  using Type = float;
  GRIDMILL_DEVICE static float load(float value) { return value; }
  GRIDMILL_DEVICE static float round(float value) { return value; }
};
template <>
struct Element<DType::bf16> {
  using Type = Bf16;
  GRIDMILL_DEVICE static float load(Bf16 value) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(value) << 16);
  }
  GRIDMILL_DEVICE static Bf16 round(float value) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return static_cast<Bf16>((bits >> 16) | 0x40U);
    return static_cast<Bf16>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
  }
};

/// Element `index` of an array of the compute dtype.
template <DType Compute>
GRIDMILL_DEVICE float load_element(const std::byte* data, std::int64_t index) {
  using E = Element<Compute>;
  return E::load(reinterpret_cast<const typename E::Type*>(data)[index]);
}
template <DType Compute>
GRIDMILL_DEVICE void store_element(std::byte* data, std::int64_t index, float value) {
  using E = Element<Compute>;
  reinterpret_cast<typename E::Type*>(data)[index] = E::round(value);
}

}  // namespace gridmill::cuda
