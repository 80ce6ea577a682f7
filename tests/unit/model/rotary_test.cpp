#include "model/layers/rotary.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace gridmill::model_detail {
namespace {

/// Distance in units of the last place of `expected`.
double ulps(double found, double expected) {
  const double ulp = std::nextafter(std::fabs(expected), INFINITY) - std::fabs(expected);
  return std::fabs(found - expected) / ulp;
}

TEST(RotaryMath, SineAndCosineAreWithinAnUlp) {
  // The C library's own error is below 0.6 ulp, so agreement within 1.5 shows ours below 1.
  double worst = 0;
  for (int i = 0; i < 200000; ++i) {
    const double x = i < 100000 ? i * 0.37 : std::ldexp(1.0 + i * 1e-7, i % 29);
    const auto [sin, cos] = sin_cos_f64(x);
    worst = std::max({worst, ulps(sin, std::sin(x)), ulps(cos, std::cos(x))});
  }
  EXPECT_LE(worst, 1.5);
}

TEST(RotaryMath, ReductionKeepsSmallResultsNearMultiplesOfHalfPi) {
  // The double closest to a multiple of pi/2 in this range: k = 1, 2, 355/113's neighbours, 2^25.
  for (const double k : {1.0, 2.0, 3.0, 113.0, 710.0, 33554432.0}) {
    const double x = k * 0x1.921fb54442d18p+0;
    const auto [sin, cos] = sin_cos_f64(x);
    EXPECT_LE(ulps(sin, std::sin(x)), 1.5) << k;
    EXPECT_LE(ulps(cos, std::cos(x)), 1.5) << k;
  }
}

TEST(RotaryMath, SineAndCosineOfZeroAreExact) {
  const auto [sin, cos] = sin_cos_f64(0);
  EXPECT_EQ(sin, 0.0);
  EXPECT_EQ(cos, 1.0);
}

TEST(RotaryMath, ExponentialAndLogarithmAreWithinAnUlp) {
  double worst = 0;
  for (int i = -40000; i <= 40000; ++i) {
    const double x = i * 1e-3;
    worst = std::max(worst, ulps(exp_f64(x), std::exp(x)));
    const double y = std::exp(x) * 1.37;
    if (std::fabs(std::log(y)) > 1e-3) worst = std::max(worst, ulps(log_f64(y), std::log(y)));
  }
  EXPECT_LE(worst, 2.0);
}

TEST(Rotary, PlainFrequenciesAreFallingPowersOfTheta) {
  const std::vector<double> frequencies = rotary_frequencies({.width = 64, .theta = 10000});
  ASSERT_EQ(frequencies.size(), 32U);
  EXPECT_EQ(frequencies[0], 1.0);
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const double expected = std::pow(10000.0, -2.0 * static_cast<double>(i) / 64);
    EXPECT_NEAR(frequencies[i], expected, 12 * 0x1p-52 * expected) << i;
  }
}

TEST(Rotary, LinearScalingDividesEveryFrequency) {
  const std::vector<double> plain = rotary_frequencies({.width = 16});
  const std::vector<double> scaled =
      rotary_frequencies({.width = 16, .scaling = RotaryScaling::linear, .factor = 4});
  for (std::size_t i = 0; i < plain.size(); ++i) EXPECT_EQ(scaled[i], plain[i] / 4);
}

TEST(Rotary, Llama3KeepsShortWavelengthsStretchesLongOnesAndBlendsBetween) {
  const RotarySpec rotary{.width = 16,
                          .theta = 500000,
                          .scaling = RotaryScaling::llama3,
                          .factor = 8,
                          .low_freq_factor = 1,
                          .high_freq_factor = 4,
                          .original_max_position = 32};
  const std::vector<double> plain = rotary_frequencies({.width = 16, .theta = 500000});
  const std::vector<double> scaled = rotary_frequencies(rotary);
  EXPECT_EQ(scaled[0], plain[0]);  // wavelength 6.3 < 32 / 4
  // Wavelength 2 pi / 0.194 = 32.4 > 32 / 1.
  EXPECT_EQ(scaled[1], plain[1] / 8);
  EXPECT_EQ(scaled[7], plain[7] / 8);
  // theta = 10: wavelengths 6.28, 8.4, 11.2, 14.9, 19.9, 26.5: the second to sixth blend.
  const std::vector<double> close = rotary_frequencies({.width = 16, .theta = 10});
  RotarySpec blended = rotary;
  blended.theta = 10;
  const std::vector<double> mixed = rotary_frequencies(blended);
  const double ratio = 32 * close[2] / (2 * M_PI);
  const double keep = (ratio - 1) / 3;
  EXPECT_NEAR(mixed[2], (1 - keep) * close[2] / 8 + keep * close[2], 1e-15);
}

TEST(Rotary, TableHoldsCosThenSinOfEveryPosition) {
  const std::vector<float> table = rotary_table({.width = 8, .theta = 100}, 3);
  ASSERT_EQ(table.size(), 3U * 8U);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(table[i], 1.0F);
    EXPECT_EQ(table[4 + i], 0.0F);
    const double angle = 2 * std::pow(100.0, -2.0 * static_cast<double>(i) / 8);
    EXPECT_EQ(table[16 + i], static_cast<float>(std::cos(angle)));
    EXPECT_EQ(table[20 + i], static_cast<float>(std::sin(angle)));
  }
}

TEST(Rotary, TableOfALongContextIsTheRoundedSineOfTheProduct) {
  const std::vector<float> table = rotary_table({.width = 4, .theta = 500000}, 131072);
  const std::vector<double> frequencies = rotary_frequencies({.width = 4, .theta = 500000});
  for (const std::size_t position : {65537UL, 100003UL, 131071UL}) {
    for (std::size_t i = 0; i < 2; ++i) {
      const double angle = static_cast<double>(position) * frequencies[i];
      EXPECT_EQ(table[position * 4 + i], static_cast<float>(std::cos(angle)));
      EXPECT_EQ(table[position * 4 + 2 + i], static_cast<float>(std::sin(angle)));
    }
  }
}

// Expected values: the formulas of transformers 5.24 (modeling_rope_utils.py) in float64 by hand.
TEST(Rotary, YarnKeepsFastPairsAndStretchesSlowOnes) {
  const RotarySpec yarn{.width = 16,
                        .theta = 10000,
                        .scaling = RotaryScaling::yarn,
                        .factor = 4,
                        .original_max_position = 64};
  const std::vector<double> plain = rotary_frequencies({.width = 16, .theta = 10000});
  const std::vector<double> scaled = rotary_frequencies(yarn);
  // low = floor(16 ln(64 / (64 pi)) / (2 ln 1e4)) < 0 -> 0; high = ceil(2.016) = 3.
  EXPECT_EQ(scaled[0], plain[0]);
  EXPECT_NEAR(scaled[1], plain[1] * (2.0 / 3) + plain[1] / 4 / 3, 1e-15);
  EXPECT_NEAR(scaled[2], plain[2] / 3 + plain[2] / 4 * (2.0 / 3), 1e-15);
  for (std::size_t i = 3; i < 8; ++i) EXPECT_EQ(scaled[i], plain[i] / 4) << i;
}

TEST(Rotary, LongropeDividesByTheFactorsOfTheRow) {
  const RotarySpec longrope{.width = 4,
                            .scaling = RotaryScaling::longrope,
                            .short_factors = {1, 2},
                            .long_factors = {4, 8},
                            .magnitude = 1.5};
  const std::vector<double> plain = rotary_frequencies({.width = 4});
  EXPECT_EQ(rotary_frequencies(longrope)[1], plain[1] / 2);
  EXPECT_EQ(rotary_frequencies(longrope, RowLength::beyond_original)[1], plain[1] / 8);
  EXPECT_EQ(rotary_table(longrope, 1)[0], 1.5F);
}

}  // namespace
}  // namespace gridmill::model_detail
