#include "model/layers/rotary.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>

#include "gridmill/base/numerics.hpp"

namespace gridmill::model_detail {

namespace {

constexpr double kTwoPi = 0x1.921fb54442d18p+2;

/// Long wavelengths are stretched, short ones kept, those between blended.
double llama3_frequency(const RotarySpec& rotary, double frequency) {
  const double wavelength = kTwoPi / frequency;
  const double ratio = rotary.original_max_position / wavelength;
  if (ratio < rotary.low_freq_factor) return frequency / rotary.factor;
  if (ratio > rotary.high_freq_factor) return frequency;
  const double keep =
      (ratio - rotary.low_freq_factor) / (rotary.high_freq_factor - rotary.low_freq_factor);
  return (1 - keep) * frequency / rotary.factor + keep * frequency;
}

/// The pairs between which yarn blends: Peng et al., "YaRN", 2023, as transformers has it.
struct YarnRamp {
  double low;
  double high;

  explicit YarnRamp(const RotarySpec& rotary) {
    const auto width = static_cast<double>(rotary.width);
    const auto pair_of = [&](double rotations) {
      return width * log_f64(rotary.original_max_position / (kTwoPi * rotations)) /
             (2 * log_f64(rotary.theta));
    };
    low = pair_of(rotary.beta_fast);
    high = pair_of(rotary.beta_slow);
    if (rotary.truncate) {
      low = std::floor(low);
      high = std::ceil(high);
    }
    low = std::max(low, 0.0);
    high = std::min(high, width - 1);
    if (low == high) high += 0.001;
  }
  [[nodiscard]] double frequency(const RotarySpec& rotary, std::size_t pair, double base) const {
    const double ramp = std::clamp((static_cast<double>(pair) - low) / (high - low), 0.0, 1.0);
    return base * (1 - ramp) + base / rotary.factor * ramp;
  }
};

}  // namespace

std::vector<double> rotary_frequencies(const RotarySpec& rotary, RowLength length) {
  const double log_theta = log_f64(rotary.theta);
  std::optional<YarnRamp> ramp;
  if (rotary.scaling == RotaryScaling::yarn) ramp.emplace(rotary);
  const std::vector<double>& divisors =
      length == RowLength::beyond_original ? rotary.long_factors : rotary.short_factors;
  std::vector<double> frequencies(static_cast<std::size_t>(rotary.width / 2));
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const double fraction = static_cast<double>(2 * i) / static_cast<double>(rotary.width);
    const double frequency = exp_f64(-(fraction * log_theta));
    switch (rotary.scaling) {
      case RotaryScaling::none:
        frequencies[i] = frequency;
        break;
      case RotaryScaling::linear:
        frequencies[i] = frequency / rotary.factor;
        break;
      case RotaryScaling::llama3:
        frequencies[i] = llama3_frequency(rotary, frequency);
        break;
      case RotaryScaling::yarn:
        frequencies[i] = ramp->frequency(rotary, i, frequency);
        break;
      case RotaryScaling::longrope:
        frequencies[i] = frequency / divisors[i];
        break;
    }
  }
  return frequencies;
}

std::vector<float> rotary_table(const RotarySpec& rotary, std::int64_t positions,
                                RowLength length) {
  const std::vector<double> frequencies = rotary_frequencies(rotary, length);
  const std::size_t half = frequencies.size();
  std::vector<float> table(static_cast<std::size_t>(positions) * 2 * half);
  for (std::size_t position = 0; position < static_cast<std::size_t>(positions); ++position) {
    float* row = table.data() + position * 2 * half;
    for (std::size_t i = 0; i < half; ++i) {
      const auto [sin, cos] = sin_cos_f64(static_cast<double>(position) * frequencies[i]);
      row[i] = static_cast<float>(rotary.magnitude * cos);
      row[half + i] = static_cast<float>(rotary.magnitude * sin);
    }
  }
  return table;
}

}  // namespace gridmill::model_detail
