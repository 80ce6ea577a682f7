#pragma once

#include <array>
#include <cstdint>

namespace gridmill {

/// Philox4x32-10: a pure function from (counter, key) to four 32-bit words.
/// Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
[[nodiscard]] std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                                      std::array<std::uint32_t, 2> key);

/// u in (0, 1) of a word: ((w >> 9) + 0.5) * 2^-23, exact in fp32.
[[nodiscard]] constexpr float unit_uniform(std::uint32_t word) {
  return (static_cast<float>(word >> 9) + 0.5F) * 0x1p-23F;
}

}  // namespace gridmill
