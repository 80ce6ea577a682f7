#pragma once

#include "gridmill/model/model_spec.hpp"

namespace gridmill::model_detail {

/// More layers than any model has; keeps a damaged configuration from asking for endless work.
inline constexpr std::size_t kMostLayers = 10000;

/// Refuses descriptions whose fields contradict each other.
/// @throws FormatError naming layer, block and field.
void check_model_spec(const ModelSpec& spec);

}  // namespace gridmill::model_detail
