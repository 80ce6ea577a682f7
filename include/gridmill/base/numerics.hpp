#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <span>
#include <utility>

namespace gridmill {

// Elementary functions of the numerics contract (docs/numerics.md). One definition for every
// backend on the CPU: fp32, fma and fixed polynomials, so the bits do not depend on the library,
// the compiler or the vector width. SIMD code repeats them operation by operation with these
// constants.

namespace numerics {

/// exp: x = k ln2 + r with |r| <= ln2 / 2; e^r = 1 + (r + r^2 P(r)). Constants: Cephes expf
/// (Moshier).
inline constexpr float kLog2E = 1.44269504088896341F;
inline constexpr float kLn2High =
    0.693359375F;  // 9 significant bits: k * high is exact for every k that occurs
inline constexpr float kLn2Low = -2.12194440E-4F;
inline constexpr float kExpMax = 88.72283F;   // largest x with a finite e^x
inline constexpr float kExpMin = -87.33654F;  // smaller x give 0: no subnormal results
inline constexpr std::array<float, 6> kExpPoly = {5.0000001201E-1F, 1.6666665459E-1F,
                                                  4.1665795894E-2F, 8.3334519073E-3F,
                                                  1.3981999507E-3F, 1.9875691500E-4F};

/// log(x): x = 2^e * m, m in [sqrt(1/2), sqrt(2)); log(m) = f + (f^3 Q(f) - f^2/2), f = m - 1.
/// Constants: Cephes logf (Moshier).
inline constexpr float kSqrtHalf = 0.707106781186547524F;
inline constexpr std::array<float, 9> kLogPoly = {
    3.3333331174E-1F,  -2.4999993993E-1F, 2.0000714765E-1F,  -1.6668057665E-1F, 1.4249322787E-1F,
    -1.2420140846E-1F, 1.1676998740E-1F,  -1.1514610310E-1F, 7.0376836292E-2F};

/// erf(x) = x + x P(x^2) for |x| < 1, and 1 - exp(-Q(|x|)) with the sign of x up to 4, from where
/// on it rounds to 1. Interpolations of erf(x) / x - 1 and -ln(1 - erf(x)) at Chebyshev nodes.
inline constexpr std::array<float, 8> kErfPoly = {1.28379166E-1F,  -3.76126379E-1F, 1.12837821E-1F,
                                                  -2.68654302E-2F, 5.22103161E-3F,  -8.48408032E-4F,
                                                  1.12659589E-4F,  -9.66704465E-6F};
inline constexpr std::array<float, 10> kErfTailPoly = {
    -4.16329218E-4F, 1.1306752F,      6.30953014E-1F, 1.11055017E-1F,  -2.70995237E-2F,
    5.06494706E-3F,  -6.85836712E-4F, 6.22983571E-5F, -3.32168452E-6F, 7.58268186E-8F};
inline constexpr float kErfMax = 4.0F;

}  // namespace numerics

/// e^x within 2 ulp; 0 below kExpMin, +inf above kExpMax, NaN for NaN.
[[nodiscard]] float exp_f32(float x);
/// Natural logarithm within 2 ulp for normal x > 0; -inf for 0 and subnormals, NaN for x < 0, +inf
/// for +inf.
[[nodiscard]] float log_f32(float x);
/// log(1 + y) for 0 <= y <= 1 within 3 ulp, as used by log_sigmoid.
[[nodiscard]] float log1p_f32(float y);
/// 1 / (1 + exp(-x)) within 3 ulp (where that is a normal number).
[[nodiscard]] float sigmoid_f32(float x);
/// min(x, 0) - log1p(exp(-|x|)), within 3 ulp.
[[nodiscard]] float log_sigmoid_f32(float x);
/// tanh(x) = 1 - 2 / (exp(2|x|) + 1) with the sign of x; odd polynomial for |x| < 0.625; +0 for
/// either zero. Within 2 ulp.
[[nodiscard]] float tanh_f32(float x);
/// cap * tanh(x / cap); identity for cap = 0.
[[nodiscard]] float soft_cap_f32(float x, float cap);
/// x * sigmoid(x), within 4 ulp; NaN for -inf.
[[nodiscard]] float silu_f32(float x);
/// gelu, tanh approximation (the default of jax.nn.gelu): within 3 ulp for x >= 0; for x < 0, where
/// 1 + tanh cancels, the error is at most 2^-23 |x|. NaN for -inf.
[[nodiscard]] float gelu_tanh_f32(float x);
/// Error function, within 2 ulp.
[[nodiscard]] float erf_f32(float x);
/// gelu, exact form: x / 2 (1 + erf(x / sqrt 2)), within 2^-22 |x|. NaN for -inf.
[[nodiscard]] float gelu_f32(float x);

/// Sum of 16 lanes by the fixed tree: lanes i and i+8, then +4, +2, +1.
[[nodiscard]] float lane_tree_sum(const std::array<float, 16>& lanes);
/// Sum of values: lane i holds the ascending chain of elements i, i+16, ...; then lane_tree_sum.
[[nodiscard]] float lane_sum(std::span<const float> values);

/// Activations of feed-forward layers.
enum class Activation : std::uint8_t {
  identity,
  silu,
  gelu_tanh,
  relu,
  relu_squared,
  sigmoid,
  selu,
  gelu
};
[[nodiscard]] float activate_f32(Activation activation, float x);

// Double-precision elementary functions from IEEE additions, products, quotients and fma alone:
// tables made of them have the same bits with every C library. Within 1 ulp over the stated ranges.

/// {sin(x), cos(x)} for |x| <= 1e9: reduction by k pi/2 with pi/2 in three doubles (Cody and
/// Waite), then Taylor polynomials on [-pi/4, pi/4].
[[nodiscard]] std::pair<double, double> sin_cos_f64(double x);
/// e^x for |x| <= 700.
[[nodiscard]] double exp_f64(double x);
/// ln(x) for normal x > 0.
[[nodiscard]] double log_f64(double x);

}  // namespace gridmill
