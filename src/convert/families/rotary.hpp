#pragma once

#include <cstdint>

#include "convert/config_fields_detail.hpp"
#include "gridmill/model/model_spec.hpp"

namespace gridmill::convert_detail {

/// Defaults of a family for its rotary embedding.
struct RotaryDefaults {
  const char* theta_field = "rope_theta";
  double theta = 10000;
  /// Field of the rotated part of a head; nullptr: the family rotates whole heads, and refuses one.
  const char* part_field = nullptr;
  double part = 1;
};

/// The rotary settings of a configuration: rope_parameters (transformers 5) or rope_theta and
/// rope_scaling (transformers 4). Source: modeling_rope_utils.py of transformers.
/// @param max_positions  longest row, where original_max_position_embeddings is missing.
/// @throws FormatError with the word `unsupported` for an unknown type (dynamic among them).
[[nodiscard]] RotarySpec read_rotary(ConfigFields& config, std::int64_t head_width,
                                     std::int64_t max_positions, const RotaryDefaults& defaults);

/// Models with settings of their own for windowed layers: the table of full layers, then that of
/// windowed ones.
struct RotaryPair {
  RotarySpec full;
  RotarySpec windowed;
};
/// rope_parameters by layer type (transformers 5); else `read_rotary` for full layers, and
/// `windowed_theta` without scaling for windowed ones.
[[nodiscard]] RotaryPair read_rotary_pair(ConfigFields& config, std::int64_t head_width,
                                          std::int64_t max_positions,
                                          const RotaryDefaults& defaults, double windowed_theta);

}  // namespace gridmill::convert_detail
