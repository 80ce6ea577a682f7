#pragma once

#include <string>

#include "gridmill/base/json.hpp"

namespace gridmill::bench_detail {

/// Model configuration (docs/models.md) of a named shape, or of a config.json: gridmill's own (it
/// has "family") or a Hugging Face one.
/// @throws UsageError for an unknown name, MissingInputError, FormatError.
[[nodiscard]] Json model_of_shape(const std::string& shape);

}  // namespace gridmill::bench_detail
