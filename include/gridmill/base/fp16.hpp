#pragma once

#include <cstdint>

namespace gridmill {

/// IEEE half precision: rounds to nearest, ties to even; too large a value becomes infinite. The
/// way back is fp16_to_fp32 (dtype.hpp).
[[nodiscard]] std::uint16_t fp32_to_fp16(float value);

}  // namespace gridmill
