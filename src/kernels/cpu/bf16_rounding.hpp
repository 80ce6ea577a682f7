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

/// The same of a number that is bf16 already: only subnormals and signalling NaNs change.
[[nodiscard]] constexpr Bf16 flushed_bf16(Bf16 value) {
  const unsigned magnitude = value & 0x7FFFU;
  const unsigned kept = magnitude < 0x0080U ? value & 0x8000U : value;
  return static_cast<Bf16>(magnitude > 0x7F80U ? kept | 0x0040U : kept);
}

}  // namespace gridmill::cpu
