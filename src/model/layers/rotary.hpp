#pragma once

#include <cstdint>
#include <vector>

#include "gridmill/model/model_spec.hpp"

namespace gridmill::model_detail {

/// Which factors of longrope apply to a row; other scalings have one table for all rows.
enum class RowLength : std::uint8_t { within_original, beyond_original };

/// Angle per position of each of the width / 2 pairs: theta^(-2i / width), scaled. Relative error
/// at most (2 + ln theta) 2^-52.
/// Source: rotary position embedding of Su et al., "RoFormer", 2021, with the frequency scalings of
/// Hugging Face transformers.
[[nodiscard]] std::vector<double> rotary_frequencies(const RotarySpec& rotary,
                                                     RowLength length = RowLength::within_original);

/// [positions][2][width / 2]: cos, then sin, of position * frequency, times the magnitude, each
/// rounded once to fp32.
[[nodiscard]] std::vector<float> rotary_table(const RotarySpec& rotary, std::int64_t positions,
                                              RowLength length = RowLength::within_original);

}  // namespace gridmill::model_detail
