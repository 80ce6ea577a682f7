#pragma once

#include <bit>
#include <cstdint>

#include "gridmill/base/dtype.hpp"

namespace gridmill::cpu {

/// Nearest even; a subnormal becomes a zero of its sign (docs/numerics.md, section 1).
[[nodiscard]] constexpr Bf16 rounded_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7F800000U) == 0) return static_cast<Bf16>((bits >> 16) & 0x8000U);
  return fp32_to_bf16(value);
}

}  // namespace gridmill::cpu
