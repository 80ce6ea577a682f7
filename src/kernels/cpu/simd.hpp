// The 16-lane type of the target that is being compiled, and bf16 on it.
#pragma once

#include "kernels/cpu/target.hpp"
#if defined(__AVX512F__)
#include "kernels/cpu/simd_avx512.hpp"
#else
#include "kernels/cpu/simd_avx2.hpp"
#endif

namespace gridmill::cpu::GRIDMILL_CPU_TARGET {

/// Registers: how large a tile of accumulators may be.
#if defined(__AVX512F__)
constexpr bool kWide = true;
#else
constexpr bool kWide = false;
#endif

/// Whether dot_codes is one instruction.
#if defined(__AVX512VNNI__)
constexpr bool kNativeCodes = true;
#else
constexpr bool kNativeCodes = false;
#endif

/// bf16 bits of each lane in its low half: nearest even, a NaN stays a quiet NaN, a subnormal
/// becomes a zero of its sign.
GRIDMILL_SIMD I32x16 bf16_bits(F32x16 x) {
  const I32x16 bits = bits_of(x);
  const I32x16 odd = shift_right<16>(bits) & splat_int(1);
  const I32x16 rounded = shift_right<16>(bits + splat_int(0x7FFF) + odd);
  const I32x16 quiet = shift_right<16>(bits) | splat_int(0x40);
  const I32x16 zero_of_sign = shift_left<15>(shift_right<31>(bits));
  // Compared as numbers below the smallest normal, whichever of them the subnormal modes make 0.
  const F32x16 magnitude = float_of_bits(bits & splat_int(0x7FFFFFFF));
  const F32x16 number = select(less(magnitude, splat(__FLT_MIN__)), float_of_bits(zero_of_sign),
                               float_of_bits(rounded));
  return bits_of(select(is_nan(x), float_of_bits(quiet), number));
}

/// 16 pairs of bf16, lane l = elements 2l (low half) and 2l + 1 (high half).
#if GRIDMILL_CPU_NATIVE_BF16
struct Pairs {
  __m512bh v;
};
GRIDMILL_SIMD Pairs load_pairs(const std::uint32_t* p) {
  return {reinterpret_cast<__m512bh>(_mm512_loadu_si512(p))};
}
GRIDMILL_SIMD Pairs splat_pair(const std::uint32_t* p) {
  return {reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(*p)))};
}
/// fma of the odd elements, then of the even ones; subnormals are 0 throughout.
GRIDMILL_SIMD F32x16 dot_pairs(Pairs x, Pairs w, F32x16 acc) {
  return {_mm512_dpbf16_ps(acc.v, x.v, w.v)};
}
#else
/// Widened: two fmas with the flushing modes on give the bits of vdpbf16ps.
struct Pairs {
  F32x16 even, odd;
};
GRIDMILL_SIMD F32x16 load_even_halves(const std::uint32_t* p) {
  return float_of_bits(shift_left<16>(bits_of(load(reinterpret_cast<const float*>(p)))));
}
GRIDMILL_SIMD F32x16 load_odd_halves(const std::uint32_t* p) {
  return float_of_bits(bits_of(load(reinterpret_cast<const float*>(p))) &
                       splat_int(static_cast<std::int32_t>(0xFFFF0000U)));
}
GRIDMILL_SIMD Pairs widen_words(I32x16 pairs) {
  return {float_of_bits(shift_left<16>(pairs)),
          float_of_bits(pairs & splat_int(static_cast<std::int32_t>(0xFFFF0000U)))};
}
GRIDMILL_SIMD Pairs load_pairs(const std::uint32_t* p) {
  return widen_words(bits_of(load(reinterpret_cast<const float*>(p))));
}
GRIDMILL_SIMD Pairs splat_pair(const std::uint32_t* p) {
  return widen_words(splat_int(static_cast<std::int32_t>(*p)));
}
GRIDMILL_SIMD F32x16 dot_pairs(Pairs x, Pairs w, F32x16 acc) {
  return fma(x.even, w.even, fma(x.odd, w.odd, acc));
}
#endif

/// One step along k of a product in fp32 or bf16, so that kernels are written once.
struct Fp32Steps {
  using Unit = float;                      ///< one input
  using Packed = Fp32Steps;                ///< of rows that a product writes
  static constexpr bool kWidened = false;  ///< a step widens its inputs
  static constexpr bool kCoded = false;
  static constexpr int kInputs = 1;
  using Vector = F32x16;
  GRIDMILL_SIMD static Vector load(const Unit* p) { return GRIDMILL_CPU_TARGET::load(p); }
  GRIDMILL_SIMD static Vector splat(const Unit* p) { return GRIDMILL_CPU_TARGET::splat(*p); }
  GRIDMILL_SIMD static F32x16 step(Vector x, Vector w, F32x16 acc) { return fma(x, w, acc); }
};
struct Bf16Steps {
  using Unit = std::uint32_t;  ///< a pair of inputs
  using Packed = Bf16Steps;
  static constexpr bool kWidened = GRIDMILL_CPU_NATIVE_BF16 == 0;
  static constexpr bool kCoded = false;
  static constexpr int kInputs = 2;
  using Vector = Pairs;
  GRIDMILL_SIMD static Vector load(const Unit* p) { return load_pairs(p); }
  GRIDMILL_SIMD static Vector splat(const Unit* p) { return splat_pair(p); }
  GRIDMILL_SIMD static F32x16 step(Vector x, Vector w, F32x16 acc) { return dot_pairs(x, w, acc); }
};

}  // namespace gridmill::cpu::GRIDMILL_CPU_TARGET
