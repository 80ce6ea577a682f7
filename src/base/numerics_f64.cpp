#include <array>
#include <bit>
#include <cmath>
#include <cstddef>

#include "gridmill/base/numerics.hpp"

namespace gridmill {

namespace {

constexpr double kHalfPi1 = 0x1.921fb54442d18p+0;  // pi/2 to 53 bits, then two corrections
constexpr double kHalfPi2 = 0x1.1a62633145c07p-54;
constexpr double kHalfPi3 = -0x1.f1976b7ed8fbcp-110;
constexpr double kTwoOverPi = 0x1.45f306dc9c883p-1;
constexpr double kLn2High = 0x1.62e42fefa39efp-1;  // ln 2 to 53 bits, then the rest
constexpr double kLn2Low = 0x1.abc9e3b39803fp-56;
constexpr double kLog2E = 0x1.71547652b82fep+0;
constexpr double kSqrtHalf = 0x1.6a09e667f3bcdp-1;

/// 1 / n!, correctly rounded: n! is exact in a double up to n = 22.
constexpr std::array<double, 20> kInverseFactorial = [] {
  std::array<double, 20> inverse{};
  double factorial = 1;
  for (std::size_t n = 0; n < inverse.size(); ++n) {
    if (n > 0) factorial *= static_cast<double>(n);
    inverse[n] = 1 / factorial;
  }
  return inverse;
}();

/// sum of sign^j r^(2j) / (first + 2j)! for first + 2j <= last: the series of sin(r) / r and
/// cos(r).
double alternating_series(double r, std::size_t first, std::size_t last) {
  const double minus_square = -(r * r);
  double sum = kInverseFactorial[last];
  for (std::size_t n = last; n > first; n -= 2) {
    sum = std::fma(sum, minus_square, kInverseFactorial[n - 2]);
  }
  return sum;
}

}  // namespace

std::pair<double, double> sin_cos_f64(double x) {
  const double k = std::nearbyint(x * kTwoOverPi);
  double r = std::fma(-k, kHalfPi1, x);
  // The product k * kHalfPi2 is not exact; its lost part matters when r is tiny.
  const double product = k * kHalfPi2;
  const double product_error = std::fma(k, kHalfPi2, -product);
  const double reduced = r - product;
  const double lost = (r - reduced) - product;
  r = reduced + std::fma(-k, kHalfPi3, lost - product_error);
  // |r| <= pi/4: the terms left out are below 2^-60 of the result. 1 - r^2/2 is added last and
  // with its rounding error, so that cos stays within an ulp.
  const double r2 = r * r;
  const double sin = std::fma(-(r * r2), alternating_series(r, 3, 19), r);
  const double half = 0.5 * r2;
  const double head = 1 - half;
  const double cos = head + (((1 - head) - half) + r2 * r2 * alternating_series(r, 4, 18));
  switch (static_cast<std::int64_t>(k) & 3) {
    case 0:
      return {sin, cos};
    case 1:
      return {cos, -sin};
    case 2:
      return {-sin, -cos};
    default:
      return {-cos, sin};
  }
}

double exp_f64(double x) {
  const double k = std::nearbyint(x * kLog2E);
  const double r = std::fma(-k, kLn2Low, std::fma(-k, kLn2High, x));
  // |r| <= ln2 / 2: r^15 / 15! is below 2^-60.
  double sum = kInverseFactorial[15];
  for (std::size_t n = 15; n > 0; --n) sum = std::fma(sum, r, kInverseFactorial[n - 1]);
  const auto exponent = static_cast<std::int64_t>(k);
  return sum * std::bit_cast<double>(static_cast<std::uint64_t>(exponent + 1023) << 52);
}

double log_f64(double x) {
  const auto bits = std::bit_cast<std::uint64_t>(x);
  auto exponent = static_cast<double>(static_cast<std::int64_t>(bits >> 52) - 1022);
  double m = std::bit_cast<double>((bits & 0x000FFFFFFFFFFFFFU) | 0x3FE0000000000000U);  // [1/2, 1)
  if (m < kSqrtHalf) {
    m = m + m;
    exponent -= 1;
  }
  // ln m = 2 (s + s^3/3 + s^5/5 + ...), s = (m - 1) / (m + 1), |s| <= 0.172: s^25 / 25 < 2^-66.
  const double s = (m - 1) / (m + 1);
  const double s2 = s * s;
  double series = 1.0 / 25;
  for (int n = 23; n >= 3; n -= 2) series = std::fma(series, s2, 1.0 / n);
  const double tail = std::fma(2 * s * s2, series, exponent * kLn2Low);
  return std::fma(exponent, kLn2High, 2 * s + tail);
}

}  // namespace gridmill
