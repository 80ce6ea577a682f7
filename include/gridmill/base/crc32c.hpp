#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace gridmill {

/// CRC-32C (Castagnoli, reflected polynomial 0x82F63B78) of `bytes`, continuing from `seed` (the
/// crc of what came before; 0 at the start). Source: RFC 3720, appendix B.4.
[[nodiscard]] std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t seed = 0);

}  // namespace gridmill
