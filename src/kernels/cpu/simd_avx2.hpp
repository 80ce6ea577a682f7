// 16 logical lanes on two 256-bit registers: lanes 0-7 in `a`, lanes 8-15 in `b`. Included by a
// target file only (see target.hpp).
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/cpu/target.hpp"

namespace gridmill::cpu::GRIDMILL_CPU_TARGET {

struct F32x16 {
  __m256 a, b;
};
struct I32x16 {
  __m256i a, b;
};
/// Lanes of all ones or all zeros.
struct Mask16 {
  __m256 a, b;
};

/// Lanes [0, count) of eight, all ones.
GRIDMILL_SIMD __m256i first_lanes(int count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

GRIDMILL_SIMD F32x16 zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
GRIDMILL_SIMD F32x16 splat(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
GRIDMILL_SIMD F32x16 load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
GRIDMILL_SIMD void store(float* p, F32x16 x) {
  _mm256_storeu_ps(p, x.a);
  _mm256_storeu_ps(p + 8, x.b);
}
/// The first `count` lanes (0 to 16); the others are 0 and their memory is not touched.
GRIDMILL_SIMD F32x16 load_first(const float* p, int count) {
  return {_mm256_maskload_ps(p, first_lanes(count)),
          _mm256_maskload_ps(p + 8, first_lanes(count - 8))};
}
GRIDMILL_SIMD void store_first(float* p, F32x16 x, int count) {
  _mm256_maskstore_ps(p, first_lanes(count), x.a);
  _mm256_maskstore_ps(p + 8, first_lanes(count - 8), x.b);
}

GRIDMILL_SIMD F32x16 operator+(F32x16 x, F32x16 y) {
  return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)};
}
GRIDMILL_SIMD F32x16 operator-(F32x16 x, F32x16 y) {
  return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)};
}
GRIDMILL_SIMD F32x16 operator*(F32x16 x, F32x16 y) {
  return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)};
}
GRIDMILL_SIMD F32x16 operator/(F32x16 x, F32x16 y) {
  return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)};
}
/// x y + z, rounded once.
GRIDMILL_SIMD F32x16 fma(F32x16 x, F32x16 y, F32x16 z) {
  return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
/// z - x y, rounded once.
GRIDMILL_SIMD F32x16 fnma(F32x16 x, F32x16 y, F32x16 z) {
  return {_mm256_fnmadd_ps(x.a, y.a, z.a), _mm256_fnmadd_ps(x.b, y.b, z.b)};
}
/// To the nearest integer, ties to even.
GRIDMILL_SIMD F32x16 round_even(F32x16 x) {
  return {_mm256_round_ps(x.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
          _mm256_round_ps(x.b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}

GRIDMILL_SIMD I32x16 splat_int(std::int32_t x) {
  return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)};
}
GRIDMILL_SIMD I32x16 bits_of(F32x16 x) {
  return {_mm256_castps_si256(x.a), _mm256_castps_si256(x.b)};
}
GRIDMILL_SIMD F32x16 float_of_bits(I32x16 x) {
  return {_mm256_castsi256_ps(x.a), _mm256_castsi256_ps(x.b)};
}
GRIDMILL_SIMD I32x16 operator+(I32x16 x, I32x16 y) {
  return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)};
}
GRIDMILL_SIMD I32x16 operator-(I32x16 x, I32x16 y) {
  return {_mm256_sub_epi32(x.a, y.a), _mm256_sub_epi32(x.b, y.b)};
}
GRIDMILL_SIMD I32x16 operator&(I32x16 x, I32x16 y) {
  return {_mm256_and_si256(x.a, y.a), _mm256_and_si256(x.b, y.b)};
}
GRIDMILL_SIMD I32x16 operator|(I32x16 x, I32x16 y) {
  return {_mm256_or_si256(x.a, y.a), _mm256_or_si256(x.b, y.b)};
}
GRIDMILL_SIMD I32x16 operator^(I32x16 x, I32x16 y) {
  return {_mm256_xor_si256(x.a, y.a), _mm256_xor_si256(x.b, y.b)};
}
template <int N>
GRIDMILL_SIMD I32x16 shift_left(I32x16 x) {
  return {_mm256_slli_epi32(x.a, N), _mm256_slli_epi32(x.b, N)};
}
template <int N>
GRIDMILL_SIMD I32x16 shift_right(I32x16 x) {
  return {_mm256_srli_epi32(x.a, N), _mm256_srli_epi32(x.b, N)};
}
template <int N>
GRIDMILL_SIMD I32x16 shift_right_signed(I32x16 x) {
  return {_mm256_srai_epi32(x.a, N), _mm256_srai_epi32(x.b, N)};
}
GRIDMILL_SIMD I32x16 truncate_to_int(F32x16 x) {
  return {_mm256_cvttps_epi32(x.a), _mm256_cvttps_epi32(x.b)};
}
GRIDMILL_SIMD F32x16 to_float(I32x16 x) {
  return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)};
}
GRIDMILL_SIMD void multiply_wide_half(__m256i x, __m256i y, __m256i& low, __m256i& high) {
  const __m256i even = _mm256_mul_epu32(x, y);
  const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(x, 32), _mm256_srli_epi64(y, 32));
  low = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA);
  high = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
}
/// Low and high words of the unsigned 64-bit products x y.
GRIDMILL_SIMD void multiply_wide(I32x16 x, I32x16 y, I32x16& low, I32x16& high) {
  multiply_wide_half(x.a, y.a, low.a, high.a);
  multiply_wide_half(x.b, y.b, low.b, high.b);
}

GRIDMILL_SIMD Mask16 less(F32x16 x, F32x16 y) {
  return {_mm256_cmp_ps(x.a, y.a, _CMP_LT_OQ), _mm256_cmp_ps(x.b, y.b, _CMP_LT_OQ)};
}
GRIDMILL_SIMD Mask16 equal(F32x16 x, F32x16 y) {
  return {_mm256_cmp_ps(x.a, y.a, _CMP_EQ_OQ), _mm256_cmp_ps(x.b, y.b, _CMP_EQ_OQ)};
}
GRIDMILL_SIMD Mask16 is_nan(F32x16 x) {
  return {_mm256_cmp_ps(x.a, x.a, _CMP_UNORD_Q), _mm256_cmp_ps(x.b, x.b, _CMP_UNORD_Q)};
}
/// Lanes [first, end).
GRIDMILL_SIMD Mask16 lanes_between(int first, int end) {
  return {_mm256_castsi256_ps(_mm256_andnot_si256(first_lanes(first), first_lanes(end))),
          _mm256_castsi256_ps(_mm256_andnot_si256(first_lanes(first - 8), first_lanes(end - 8)))};
}
GRIDMILL_SIMD Mask16 operator|(Mask16 x, Mask16 y) {
  return {_mm256_or_ps(x.a, y.a), _mm256_or_ps(x.b, y.b)};
}
/// Bit l is lane l.
GRIDMILL_SIMD unsigned bits_of(Mask16 x) {
  return static_cast<unsigned>(_mm256_movemask_ps(x.a)) |
         static_cast<unsigned>(_mm256_movemask_ps(x.b)) << 8U;
}
GRIDMILL_SIMD F32x16 select(Mask16 mask, F32x16 yes, F32x16 no) {
  return {_mm256_blendv_ps(no.a, yes.a, mask.a), _mm256_blendv_ps(no.b, yes.b, mask.b)};
}

/// Makes the compiler believe that `x` has changed.
GRIDMILL_SIMD void hold(F32x16& x) { asm volatile("" : "+x"(x.a), "+x"(x.b)); }

/// Lanes l and l + 8, then +4, +2, +1 (docs/numerics.md, section 3).
GRIDMILL_SIMD float tree_sum(F32x16 x) {
  const __m256 eight = _mm256_add_ps(x.a, x.b);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/// The largest lane; no lane may be NaN.
GRIDMILL_SIMD float largest_lane(F32x16 x) {
  const __m256 eight = _mm256_max_ps(x.a, x.b);
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

GRIDMILL_SIMD void transpose_quads_half(__m256& a, __m256& b, __m256& c, __m256& d) {
  const __m256 ab_low = _mm256_unpacklo_ps(a, b);
  const __m256 ab_high = _mm256_unpackhi_ps(a, b);
  const __m256 cd_low = _mm256_unpacklo_ps(c, d);
  const __m256 cd_high = _mm256_unpackhi_ps(c, d);
  a = _mm256_shuffle_ps(ab_low, cd_low, 0x44);
  b = _mm256_shuffle_ps(ab_low, cd_low, 0xEE);
  c = _mm256_shuffle_ps(ab_high, cd_high, 0x44);
  d = _mm256_shuffle_ps(ab_high, cd_high, 0xEE);
}
/// Inside each group of four lanes: rows x, y, z, w become columns.
GRIDMILL_SIMD void transpose_quads(F32x16& x, F32x16& y, F32x16& z, F32x16& w) {
  transpose_quads_half(x.a, y.a, z.a, w.a);
  transpose_quads_half(x.b, y.b, z.b, w.b);
}

/// 16 pairs of bf16: the low halves, and the high halves, widened exactly.
GRIDMILL_SIMD void load_bf16_pairs(const std::uint32_t* p, F32x16& low, F32x16& high) {
  const I32x16 pairs = {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
                        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 8))};
  low = float_of_bits(shift_left<16>(pairs));
  high = float_of_bits(pairs & splat_int(-65536));
}
/// 16 numbers in fp16, widened exactly; subnormal ones, too, whatever the mode.
GRIDMILL_SIMD F32x16 load_fp16(const std::uint16_t* p) {
  return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
          _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)))};
}
GRIDMILL_SIMD __m256i dot_codes_half(__m256i acc, __m256i w, __m256i x) {
  const __m256i w_even = _mm256_and_si256(w, _mm256_set1_epi16(0xFF));
  const __m256i w_odd = _mm256_srli_epi16(w, 8);
  const __m256i x_even = _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8);
  const __m256i x_odd = _mm256_srai_epi16(x, 8);
  return _mm256_add_epi32(_mm256_add_epi32(acc, _mm256_madd_epi16(w_even, x_even)),
                          _mm256_madd_epi16(w_odd, x_odd));
}
/// acc + the sum of four products of unsigned bytes of `w` and signed bytes of `x`, exact.
GRIDMILL_SIMD I32x16 dot_codes(I32x16 acc, I32x16 w, I32x16 x) {
  return {dot_codes_half(acc.a, w.a, x.a), dot_codes_half(acc.b, w.b, x.b)};
}
GRIDMILL_SIMD void store_words(std::uint32_t* p, I32x16 x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x.a);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 8), x.b);
}
/// The low halves of 16 words.
GRIDMILL_SIMD void store_low_halves(std::uint16_t* p, I32x16 x) {
  // packus works inside 128-bit halves; the permutation puts them in order. Words are < 2^16 here.
  const __m256i mask = _mm256_set1_epi32(0xFFFF);
  const __m256i packed =
      _mm256_packus_epi32(_mm256_and_si256(x.a, mask), _mm256_and_si256(x.b, mask));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(packed, 0xD8));
}

}  // namespace gridmill::cpu::GRIDMILL_CPU_TARGET
