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
inline constexpr int kMostHeadDim = 256;

/// Where a row of the batch stands.
struct RowPlace {
  SlotId slot = 0;
  std::int32_t position = 0;
  /// 1: Attention::long_rotary applies. No bool: arrays that are staged twice are compared byte by
  /// byte, so there is no padding.
  std::int32_t long_row = 0;
};

/// Rows of the batch that follow each other in one slot.
struct AttendPiece {
  SlotId slot = 0;
  std::int32_t position = 0;  ///< of the first row
  std::int32_t row = 0;
  std::int32_t rows = 0;
};

/// Pages [layer][keys, values][kv head] in the compute dtype: keys [64 positions][head_dim], values
/// [head_dim][64 positions], so that products of both read along their rows.
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
  int splits = 0;                      ///< the most that a row of this launch has
  const AttendPiece* alone = nullptr;  ///< tensor cores: pieces of one row, on the device
  int alone_count = 0;
  const AttendPiece* tiles = nullptr;  ///< tensor cores: pieces of at most attention_tile() rows
  int tile_count = 0;
  KvPages pages;
  float* partial_sums = nullptr;   ///< scratch [rows][heads][splits][head_dim]
  float* partial_norms = nullptr;  ///< scratch [rows][heads][splits][max, sum]
  PackedRows out;
  bool operator==(const AttendArgs& other) const = default;
};

/// First position that a row at `position` sees.
[[nodiscard]] constexpr std::int32_t first_visible(std::int32_t position, std::int32_t window) {
  return window > 0 && position >= window ? position - window + 1 : 0;
}

/// Splits of a row at `position`: a function of the position alone.
[[nodiscard]] constexpr int attention_splits(std::int32_t position, std::int32_t window) {
  return position / kSplitPositions - first_visible(position, window) / kSplitPositions + 1;
}

/// Whether tensor cores attend, which takes AttendArgs::alone and AttendArgs::tiles.
[[nodiscard]] constexpr bool attends_on_tensor_cores(DType compute_dtype, int head_dim) {
  return compute_dtype == DType::bf16 && head_dim % 8 == 0;
}
/// Most rows of a tile, at least 1.
[[nodiscard]] int attention_tile(const Attention& attention);

/// Normalises and rotates queries and keys of all rows, and appends keys and values to the pages.
/// Queries stay in args.qkv, or wait for tensor cores in args.out, in the places of their results.
void launch_rotate(LaunchStream stream, DType compute_dtype, const AttendArgs& args);
/// Attends for rows [first_row, first_row + rows).
void launch_attend(LaunchStream stream, DType compute_dtype, const AttendArgs& args);
/// The same for rows of args.alone and args.tiles; joins splits of none.
void launch_attend_tensor(LaunchStream stream, const AttendArgs& args);

}  // namespace gridmill::cuda
