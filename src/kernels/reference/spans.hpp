#pragma once

#include <cstdint>
#include <span>

#include "gridmill/kernels/backend.hpp"

namespace gridmill::reference {

/// Throws InternalError unless every span lies inside `rows` rows and slots are different.
void check_spans(std::span<const TokenSpan> spans, std::int64_t rows);

}  // namespace gridmill::reference
