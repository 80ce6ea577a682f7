// Elementary functions of base/numerics on 16 lanes: the same operations in the same order, so the
// same bits. Where the scalar code branches, both sides are computed and one is selected.
#pragma once

#include <cstddef>

#include "gridmill/base/numerics.hpp"
#include "kernels/cpu/simd.hpp"

namespace gridmill::cpu::GRIDMILL_CPU_TARGET {

constexpr float kInfinity = __builtin_inff();

GRIDMILL_SIMD F32x16 negate(F32x16 x) {
  return float_of_bits(bits_of(x) ^ splat_int(static_cast<std::int32_t>(0x80000000U)));
}
GRIDMILL_SIMD F32x16 absolute(F32x16 x) {
  return float_of_bits(bits_of(x) & splat_int(0x7FFFFFFF));
}
/// b > a ? b : a; NaN if one is NaN.
GRIDMILL_SIMD float larger_or_nan(float a, float b) { return a != a ? a : b <= a ? a : b; }
GRIDMILL_SIMD F32x16 larger_or_nan(F32x16 a, F32x16 b) {
  return select(is_nan(a), a, select(is_nan(b), b, select(less(a, b), b, a)));
}

GRIDMILL_SIMD F32x16 exp(F32x16 x) {
  using namespace numerics;
  const F32x16 k = round_even(x * splat(kLog2E));
  F32x16 r = fnma(k, splat(kLn2High), x);
  r = fnma(k, splat(kLn2Low), r);
  constexpr float c0 = kExpPoly[0], c1 = kExpPoly[1], c2 = kExpPoly[2], c3 = kExpPoly[3],
                  c4 = kExpPoly[4], c5 = kExpPoly[5];
  F32x16 p = splat(c5);
  p = fma(p, r, splat(c4));
  p = fma(p, r, splat(c3));
  p = fma(p, r, splat(c2));
  p = fma(p, r, splat(c1));
  p = fma(p, r, splat(c0));
  const F32x16 power = fma(r * r, p, r) + splat(1.0F);
  const I32x16 ki = truncate_to_int(k);
  // k / 2 towards zero.
  const I32x16 k1 = shift_right_signed<1>(ki + shift_right<31>(ki));
  const I32x16 k2 = ki - k1;
  const F32x16 scale1 = float_of_bits(shift_left<23>(k1 + splat_int(127)));
  const F32x16 scale2 = float_of_bits(shift_left<23>(k2 + splat_int(127)));
  F32x16 result = power * scale1 * scale2;
  result = select(less(splat(kExpMax), x), splat(kInfinity), result);
  result = select(less(x, splat(kExpMin)), zero(), result);
  return select(is_nan(x), x, result);
}

GRIDMILL_SIMD F32x16 log(F32x16 x) {
  using namespace numerics;
  const I32x16 bits = bits_of(x);
  F32x16 e = to_float(shift_right<23>(bits) - splat_int(126));
  F32x16 m = float_of_bits((bits & splat_int(0x007FFFFF)) | splat_int(0x3F000000));
  const Mask16 low = less(m, splat(kSqrtHalf));
  e = select(low, e - splat(1.0F), e);
  m = select(low, m + m, m);
  const F32x16 f = m - splat(1.0F);
  const F32x16 f2 = f * f;
  constexpr float c0 = kLogPoly[0], c1 = kLogPoly[1], c2 = kLogPoly[2], c3 = kLogPoly[3],
                  c4 = kLogPoly[4], c5 = kLogPoly[5], c6 = kLogPoly[6], c7 = kLogPoly[7],
                  c8 = kLogPoly[8];
  F32x16 q = splat(c8);
  q = fma(q, f, splat(c7));
  q = fma(q, f, splat(c6));
  q = fma(q, f, splat(c5));
  q = fma(q, f, splat(c4));
  q = fma(q, f, splat(c3));
  q = fma(q, f, splat(c2));
  q = fma(q, f, splat(c1));
  q = fma(q, f, splat(c0));
  F32x16 tail = f2 * f * q;
  tail = fma(e, splat(kLn2Low), tail);
  tail = fma(splat(-0.5F), f2, tail);
  F32x16 result = fma(e, splat(kLn2High), f + tail);
  result = select(equal(x, splat(kInfinity)), x, result);
  result = select(less(x, splat(__FLT_MIN__)), splat(-kInfinity), result);
  return select(is_nan(x) | less(x, zero()), splat(__builtin_nanf("")), result);
}

GRIDMILL_SIMD F32x16 log1p(F32x16 y) {
  const F32x16 u = splat(1.0F) + y;
  return select(equal(u, splat(1.0F)), y, log(u) * (y / (u - splat(1.0F))));
}

GRIDMILL_SIMD F32x16 sigmoid(F32x16 x) { return splat(1.0F) / (splat(1.0F) + exp(negate(x))); }

GRIDMILL_SIMD F32x16 log_sigmoid(F32x16 x) {
  const F32x16 negative_part = select(less(x, zero()), x, zero());
  return negative_part - log1p(exp(negate(absolute(x))));
}

GRIDMILL_SIMD F32x16 tanh(F32x16 x) {
  const F32x16 a = absolute(x);
  const F32x16 s = x * x;
  F32x16 p = splat(-5.70498872745E-3F);
  p = fma(p, s, splat(2.06390887954E-2F));
  p = fma(p, s, splat(-5.37397155531E-2F));
  p = fma(p, s, splat(1.33314422036E-1F));
  p = fma(p, s, splat(-3.33332819422E-1F));
  const F32x16 small = fma(x * s, p, x);
  const F32x16 y = splat(1.0F) - splat(2.0F) / (exp(a + a) + splat(1.0F));
  const I32x16 sign = bits_of(x) & splat_int(static_cast<std::int32_t>(0x80000000U));
  const F32x16 large = float_of_bits((bits_of(y) & splat_int(0x7FFFFFFF)) | sign);
  return select(less(a, splat(0.625F)), small, large);
}

/// cap * tanh(x / cap); identity for cap = 0.
GRIDMILL_SIMD F32x16 soft_cap(F32x16 x, float cap) {
  return cap == 0.0F ? x : splat(cap) * tanh(x / splat(cap));
}

GRIDMILL_SIMD F32x16 gelu_tanh(F32x16 x) {
  constexpr float kSqrtTwoOverPi = 0.7978845608028654F;
  const F32x16 inner = splat(kSqrtTwoOverPi) * fma(splat(0.044715F) * x, x * x, x);
  return splat(0.5F) * x * (splat(1.0F) + tanh(inner));
}

template <std::size_t N>
GRIDMILL_SIMD F32x16 horner(const std::array<float, N>& coefficients, F32x16 x) {
  F32x16 value = splat(coefficients[N - 1]);
  for (std::size_t i = N - 1; i-- > 0;) value = fma(value, x, splat(coefficients[i]));
  return value;
}

GRIDMILL_SIMD F32x16 erf(F32x16 x) {
  using namespace numerics;
  const F32x16 a = absolute(x);
  const F32x16 small = fma(x, horner(kErfPoly, x * x), x);
  const F32x16 bounded = select(less(splat(kErfMax), a), splat(kErfMax), a);
  const F32x16 y = splat(1.0F) - exp(negate(horner(kErfTailPoly, bounded)));
  const I32x16 sign = bits_of(x) & splat_int(static_cast<std::int32_t>(0x80000000U));
  const F32x16 large = float_of_bits((bits_of(y) & splat_int(0x7FFFFFFF)) | sign);
  return select(less(a, splat(1.0F)), small, large);
}

GRIDMILL_SIMD F32x16 gelu(F32x16 x) {
  return splat(0.5F) * x * (splat(1.0F) + erf(x * splat(numerics::kSqrtHalf)));
}

GRIDMILL_SIMD F32x16 activate(Activation activation, F32x16 x) {
  switch (activation) {
    case Activation::identity:
      return x;
    case Activation::silu:
      return x * sigmoid(x);
    case Activation::gelu_tanh:
      return gelu_tanh(x);
    case Activation::relu:
      return select(less(zero(), x), x, zero());
    case Activation::relu_squared:
      return select(less(zero(), x), x * x, zero());
    case Activation::sigmoid:
      return sigmoid(x);
    case Activation::selu: {
      constexpr float kAlpha = 1.6732632423543772F;
      constexpr float kScale = 1.0507009873554805F;
      return splat(kScale) * select(less(zero(), x), x, splat(kAlpha) * (exp(x) - splat(1.0F)));
    }
    case Activation::gelu:
      return gelu(x);
  }
  return x;
}

}  // namespace gridmill::cpu::GRIDMILL_CPU_TARGET
