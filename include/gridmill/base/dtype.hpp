#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace gridmill {

/// Element types of parameters (all) and of computation (fp32, bf16).
enum class DType : std::uint8_t { fp32, bf16, fp16 };

[[nodiscard]] constexpr std::size_t size_of(DType dtype) { return dtype == DType::fp32 ? 4 : 2; }
[[nodiscard]] constexpr std::string_view name_of(DType dtype) {
  return dtype == DType::fp32 ? "fp32" : dtype == DType::bf16 ? "bf16" : "fp16";
}

/// bfloat16 as stored.
using Bf16 = std::uint16_t;

[[nodiscard]] constexpr float bf16_to_fp32(Bf16 value) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value) << 16);
}
/// Rounds to nearest, ties to even; a NaN stays a (quiet) NaN; subnormals are kept.
[[nodiscard]] constexpr Bf16 fp32_to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return static_cast<Bf16>((bits >> 16) | 0x40U);
  return static_cast<Bf16>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
}
/// IEEE half precision to fp32, exact.
[[nodiscard]] float fp16_to_fp32(std::uint16_t value);

}  // namespace gridmill
