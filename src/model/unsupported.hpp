#pragma once

#include "gridmill/model/model_spec.hpp"

namespace gridmill::model_detail {

/// Refuses to run what the description can say and the engine cannot do yet. Such a model can be
/// converted and inspected.
/// @throws FormatError naming the switch.
void refuse_unsupported(const ModelSpec& spec);

}  // namespace gridmill::model_detail
