#pragma once

#include "gridmill/model/model_spec.hpp"

namespace gridmill::model_detail {

/// The description that a configuration without format stands for (docs/models.md: families llama
/// and xlstm).
/// @throws FormatError
[[nodiscard]] ModelSpec read_older_configuration(const Json& config);

}  // namespace gridmill::model_detail
