// 16 logical lanes on one 512-bit register. Included by a target file only, inside its namespace's
// translation unit (see target.hpp).
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/cpu/target.hpp"

namespace gridmill::cpu::GRIDMILL_CPU_TARGET {

struct F32x16 {
  __m512 v;
};
struct I32x16 {
  __m512i v;
};
struct Mask16 {
  __mmask16 v;
};

GRIDMILL_SIMD __mmask16 first_bits(int count) {
  return static_cast<__mmask16>(count >= 16 ? 0xFFFFU : (1U << count) - 1U);
}

GRIDMILL_SIMD F32x16 zero() { return {_mm512_setzero_ps()}; }
GRIDMILL_SIMD F32x16 splat(float x) { return {_mm512_set1_ps(x)}; }
GRIDMILL_SIMD F32x16 load(const float* p) { return {_mm512_loadu_ps(p)}; }
GRIDMILL_SIMD void store(float* p, F32x16 a) { _mm512_storeu_ps(p, a.v); }
/// The first `count` lanes (0 to 16); the others are 0 and their memory is not touched.
GRIDMILL_SIMD F32x16 load_first(const float* p, int count) {
  return {_mm512_maskz_loadu_ps(first_bits(count), p)};
}
GRIDMILL_SIMD void store_first(float* p, F32x16 a, int count) {
  _mm512_mask_storeu_ps(p, first_bits(count), a.v);
}

GRIDMILL_SIMD F32x16 operator+(F32x16 a, F32x16 b) { return {_mm512_add_ps(a.v, b.v)}; }
GRIDMILL_SIMD F32x16 operator-(F32x16 a, F32x16 b) { return {_mm512_sub_ps(a.v, b.v)}; }
GRIDMILL_SIMD F32x16 operator*(F32x16 a, F32x16 b) { return {_mm512_mul_ps(a.v, b.v)}; }
GRIDMILL_SIMD F32x16 operator/(F32x16 a, F32x16 b) { return {_mm512_div_ps(a.v, b.v)}; }
/// a b + c, rounded once.
GRIDMILL_SIMD F32x16 fma(F32x16 a, F32x16 b, F32x16 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
/// c - a b, rounded once.
GRIDMILL_SIMD F32x16 fnma(F32x16 a, F32x16 b, F32x16 c) {
  return {_mm512_fnmadd_ps(a.v, b.v, c.v)};
}
/// To the nearest integer, ties to even.
GRIDMILL_SIMD F32x16 round_even(F32x16 a) { return {_mm512_roundscale_ps(a.v, 0)}; }

GRIDMILL_SIMD I32x16 splat_int(std::int32_t x) { return {_mm512_set1_epi32(x)}; }
GRIDMILL_SIMD I32x16 bits_of(F32x16 a) { return {_mm512_castps_si512(a.v)}; }
GRIDMILL_SIMD F32x16 float_of_bits(I32x16 a) { return {_mm512_castsi512_ps(a.v)}; }
GRIDMILL_SIMD I32x16 operator+(I32x16 a, I32x16 b) { return {_mm512_add_epi32(a.v, b.v)}; }
GRIDMILL_SIMD I32x16 operator-(I32x16 a, I32x16 b) { return {_mm512_sub_epi32(a.v, b.v)}; }
GRIDMILL_SIMD I32x16 operator&(I32x16 a, I32x16 b) { return {_mm512_and_si512(a.v, b.v)}; }
GRIDMILL_SIMD I32x16 operator|(I32x16 a, I32x16 b) { return {_mm512_or_si512(a.v, b.v)}; }
GRIDMILL_SIMD I32x16 operator^(I32x16 a, I32x16 b) { return {_mm512_xor_si512(a.v, b.v)}; }
template <int N>
GRIDMILL_SIMD I32x16 shift_left(I32x16 a) {
  return {_mm512_slli_epi32(a.v, N)};
}
template <int N>
GRIDMILL_SIMD I32x16 shift_right(I32x16 a) {
  return {_mm512_srli_epi32(a.v, N)};
}
template <int N>
GRIDMILL_SIMD I32x16 shift_right_signed(I32x16 a) {
  return {_mm512_srai_epi32(a.v, N)};
}
GRIDMILL_SIMD I32x16 truncate_to_int(F32x16 a) { return {_mm512_cvttps_epi32(a.v)}; }
GRIDMILL_SIMD F32x16 to_float(I32x16 a) { return {_mm512_cvtepi32_ps(a.v)}; }
/// Low and high words of the unsigned 64-bit products a b.
GRIDMILL_SIMD void multiply_wide(I32x16 a, I32x16 b, I32x16& low, I32x16& high) {
  const __m512i even = _mm512_mul_epu32(a.v, b.v);
  const __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(a.v, 32), _mm512_srli_epi64(b.v, 32));
  low.v = _mm512_mask_blend_epi32(0xAAAA, even, _mm512_slli_epi64(odd, 32));
  high.v = _mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64(even, 32), odd);
}

GRIDMILL_SIMD Mask16 less(F32x16 a, F32x16 b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
GRIDMILL_SIMD Mask16 equal(F32x16 a, F32x16 b) {
  return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ)};
}
GRIDMILL_SIMD Mask16 is_nan(F32x16 a) { return {_mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q)}; }
/// Lanes [first, end).
GRIDMILL_SIMD Mask16 lanes_between(int first, int end) {
  return {static_cast<__mmask16>(first_bits(end) & ~first_bits(first))};
}
GRIDMILL_SIMD Mask16 operator|(Mask16 a, Mask16 b) { return {static_cast<__mmask16>(a.v | b.v)}; }
/// Bit l is lane l.
GRIDMILL_SIMD unsigned bits_of(Mask16 a) { return a.v; }
GRIDMILL_SIMD F32x16 select(Mask16 mask, F32x16 yes, F32x16 no) {
  return {_mm512_mask_blend_ps(mask.v, no.v, yes.v)};
}

/// Makes the compiler believe that `a` has changed.
GRIDMILL_SIMD void hold(F32x16& a) { asm volatile("" : "+v"(a.v)); }

/// Lanes l and l + 8, then +4, +2, +1 (docs/numerics.md, section 3).
GRIDMILL_SIMD float tree_sum(F32x16 a) {
  const __m256 low = _mm512_castps512_ps256(a.v);
  const __m256 high = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(a.v), 1));
  const __m256 eight = _mm256_add_ps(low, high);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/// The largest lane; no lane may be NaN.
GRIDMILL_SIMD float largest_lane(F32x16 a) {
  const __m256 low = _mm512_castps512_ps256(a.v);
  const __m256 high = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(a.v), 1));
  const __m256 eight = _mm256_max_ps(low, high);
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

/// Inside each group of four lanes: rows a, b, c, d become columns.
GRIDMILL_SIMD void transpose_quads(F32x16& a, F32x16& b, F32x16& c, F32x16& d) {
  const __m512 ab_low = _mm512_unpacklo_ps(a.v, b.v);
  const __m512 ab_high = _mm512_unpackhi_ps(a.v, b.v);
  const __m512 cd_low = _mm512_unpacklo_ps(c.v, d.v);
  const __m512 cd_high = _mm512_unpackhi_ps(c.v, d.v);
  a.v = _mm512_shuffle_ps(ab_low, cd_low, 0x44);
  b.v = _mm512_shuffle_ps(ab_low, cd_low, 0xEE);
  c.v = _mm512_shuffle_ps(ab_high, cd_high, 0x44);
  d.v = _mm512_shuffle_ps(ab_high, cd_high, 0xEE);
}

/// 16 pairs of bf16: the low halves, and the high halves, widened exactly.
GRIDMILL_SIMD void load_bf16_pairs(const std::uint32_t* p, F32x16& low, F32x16& high) {
  const __m512i pairs = _mm512_loadu_si512(p);
  low.v = _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
  high.v = _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(-65536)));
}
/// 16 numbers in fp16, widened exactly; subnormal ones, too, whatever the mode.
GRIDMILL_SIMD F32x16 load_fp16(const std::uint16_t* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
/// acc + the sum of four products of unsigned bytes of `w` and signed bytes of `x`, exact.
GRIDMILL_SIMD I32x16 dot_codes(I32x16 acc, I32x16 w, I32x16 x) {
#if defined(__AVX512VNNI__)
  return {_mm512_dpbusd_epi32(acc.v, w.v, x.v)};
#else
  const __m512i w_even = _mm512_and_si512(w.v, _mm512_set1_epi16(0xFF));
  const __m512i w_odd = _mm512_srli_epi16(w.v, 8);
  const __m512i x_even = _mm512_srai_epi16(_mm512_slli_epi16(x.v, 8), 8);
  const __m512i x_odd = _mm512_srai_epi16(x.v, 8);
  return {_mm512_add_epi32(_mm512_add_epi32(acc.v, _mm512_madd_epi16(w_even, x_even)),
                           _mm512_madd_epi16(w_odd, x_odd))};
#endif
}
GRIDMILL_SIMD void store_words(std::uint32_t* p, I32x16 a) { _mm512_storeu_si512(p, a.v); }
/// The low halves of 16 words.
GRIDMILL_SIMD void store_low_halves(std::uint16_t* p, I32x16 a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(a.v));
}

}  // namespace gridmill::cpu::GRIDMILL_CPU_TARGET
