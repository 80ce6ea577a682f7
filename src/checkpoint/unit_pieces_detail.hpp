#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "checkpoint/packer_detail.hpp"
#include "checkpoint/unit_layout_detail.hpp"

namespace gridmill::checkpoint_detail {

/// Consecutive panels of a matrix, or elements of a vector.
struct PieceItems {
  const MatrixSpec* matrix = nullptr;  ///< or
  const VectorSpec* vector = nullptr;
  IndexRange items{};
  std::size_t at = 0;  ///< their first byte in the piece
  std::size_t bytes = 0;
};

/// Part of a unit that is packed at once: items that lie side by side, with gaps of less than
/// kAlignment.
struct UnitPiece {
  std::size_t begin = 0;  ///< in the block, or in the kept part
  std::size_t bytes = 0;
  std::vector<PieceItems> items;
};

enum class UnitPart : std::uint8_t { block, kept };

/// Cuts what shard `own` holds of a unit's block, or of its kept part, into pieces of at most
/// `most_bytes` - or one panel, if that is more. `unit` must outlive the result.
[[nodiscard]] std::vector<UnitPiece> cut_unit(const UnitSpec& unit, const UnitLayout& layout,
                                              int own, UnitPart part, std::size_t most_bytes);

/// Packs a piece into `target`; gaps become zeros, so that equal parameters are equal bytes.
/// @throws IoError, FormatError
void pack_piece(Packer& packer, const UnitPiece& piece, std::span<std::byte> target, int threads);

}  // namespace gridmill::checkpoint_detail
