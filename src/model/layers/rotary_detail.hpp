#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace gridmill::model_detail {

// Double-precision elementary functions from IEEE additions, products, quotients and fma alone: the
// tables below have the same bits with every C library. Within 1 ulp over the stated ranges, except
// where noted.

/// {sin(x), cos(x)} for |x| <= 1e9: reduction by k pi/2 with pi/2 in three doubles (Cody and
/// Waite), then Taylor polynomials on [-pi/4, pi/4].
[[nodiscard]] std::pair<double, double> sin_cos_f64(double x);
/// e^x for |x| <= 700.
[[nodiscard]] double exp_f64(double x);
/// ln(x) for normal x > 0.
[[nodiscard]] double log_f64(double x);

enum class RotaryType : std::uint8_t { plain, linear, llama3 };

/// Rotary position embedding of Su et al., "RoFormer", 2021, with the frequency scalings of
/// Hugging Face transformers.
struct Rotary {
  RotaryType type = RotaryType::plain;
  double theta = 10000;
  double factor = 1;                    ///< linear, llama3
  double low_freq_factor = 1;           ///< llama3
  double high_freq_factor = 4;          ///< llama3
  double original_max_position = 8192;  ///< llama3
};

/// Angle per position of each of the head_dim / 2 pairs: theta^(-2i / head_dim), scaled. Relative
/// error at most (2 + ln theta) 2^-52.
[[nodiscard]] std::vector<double> rotary_frequencies(const Rotary& rotary, std::int64_t head_dim);

/// [positions][2][head_dim / 2]: cos, then sin, of position * frequency, each rounded once to fp32.
[[nodiscard]] std::vector<float> rotary_table(const Rotary& rotary, std::int64_t head_dim,
                                              std::int64_t positions);

}  // namespace gridmill::model_detail
