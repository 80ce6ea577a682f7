#pragma once

#include <cstdint>

#include "gridmill/base/device.hpp"
#include "gridmill/base/dtype.hpp"
#include "gridmill/kernels/backend.hpp"
#include "kernels/cuda/runtime.hpp"

namespace gridmill::cuda {

/// Positions of a page of the KV cache, and keys of a block of the softmax.
inline constexpr int kPagePositions = 64;
/// Keys that one thread block visits: whole pages at absolute positions.
inline constexpr int kSplitPositions = 512;
/// Query heads of one key-value head that a thread block takes together.
inline constexpr int kMostGroupHeads = 8;
inline constexpr int kMostHeadDim = 256;

/// Where a row of the batch stands.
struct RowPlace {
  SlotId slot = 0;
  std::int32_t position = 0;
};

/// Pages [layer][key, value][kv head][64 positions][head_dim] in the compute dtype.
struct KvPages {
  std::byte* memory = nullptr;
  const std::int32_t* table = nullptr;  ///< [slots][pages of a slot] on the device
  std::int32_t slot_pages = 0;
  std::int64_t page_elements = 0;
  std::int64_t layer_elements = 0;
  bool operator==(const KvPages& other) const = default;
};

struct AttendArgs {
  Attention attention;
  int layer = 0;
  DeviceMatrix qkv;
  const RowPlace* places = nullptr;  ///< one a row, on the device; slot -1: no row of a span
  std::int64_t first_row = 0;        ///< of this launch; `rows` follow
  std::int64_t rows = 0;
  int splits = 0;  ///< the most that a row of this launch has
  KvPages pages;
  float* partial_sums = nullptr;   ///< scratch [rows][heads][splits][head_dim]
  float* partial_norms = nullptr;  ///< scratch [rows][heads][splits][max, sum]
  PackedRows out;
  bool operator==(const AttendArgs& other) const = default;
};

/// Splits of a row at `position`: a function of the position alone.
[[nodiscard]] constexpr int attention_splits(std::int32_t position, std::int32_t window) {
  const std::int32_t first = window > 0 && position >= window ? position - window + 1 : 0;
  return position / kSplitPositions - first / kSplitPositions + 1;
}

/// Normalises and rotates queries and keys of all rows, and appends keys and values to the pages.
void launch_rotate(LaunchStream stream, DType compute_dtype, const AttendArgs& args);
/// Attends for rows [first_row, first_row + rows).
void launch_attend(LaunchStream stream, DType compute_dtype, const AttendArgs& args);

}  // namespace gridmill::cuda
