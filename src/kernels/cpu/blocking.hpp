// Sizes that products share: see products.hpp.
#pragma once

#include "kernels/cpu/packed.hpp"

namespace gridmill::cpu::GRIDMILL_CPU_TARGET {

constexpr std::int64_t kUnitBytes = 4 * kPanelOutputs;
/// Row blocks up to this height wait for memory alone.
constexpr int kNearRows = 5;
constexpr std::int64_t kNearAhead = 8192;
constexpr std::int64_t kFarAhead = 16384;
constexpr int kVectors = kPanelOutputs / 16;

/// Consecutive rows, a whole number of blocks (but for the last of the matrix).
struct RowChunk {
  std::int64_t first, rows;
};

}  // namespace gridmill::cpu::GRIDMILL_CPU_TARGET
