#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "gridmill/kernels/backend.hpp"
#include "gridmill/params/parameter_spec.hpp"
#include "gridmill/params/shape.hpp"
#include "gridmill/params/weight.hpp"

namespace gridmill::checkpoint_detail {

/// Every piece begins at a multiple of this: a cache line, and the element that gathers count in.
inline constexpr std::size_t kAlignment = 64;
[[nodiscard]] constexpr std::size_t aligned(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

/// Outputs of one panel of `matrix`; 1 for plain rows.
[[nodiscard]] std::int64_t panel_width(const MatrixSpec& matrix, const Backend& backend);
[[nodiscard]] std::int64_t vector_size(const VectorSpec& vector);

/// Where a matrix (in panels) or a vector (in elements) lies.
struct Place {
  std::size_t item_bytes = 0;        ///< of a panel or an element
  bool split = false;                ///< into shards; otherwise every rank has all items
  bool gathered = false;             ///< split, and part of the blocks that travel
  std::vector<IndexRange> items;     ///< of each shard; one entry if not split
  std::vector<std::size_t> offsets;  ///< gathered: in the shard's block; else in the kept part

  [[nodiscard]] std::int64_t item_count() const { return items.back().end(); }
  [[nodiscard]] std::size_t bytes(std::size_t shard) const {
    return static_cast<std::size_t>(items[shard].count) * item_bytes;
  }
};

/// Layout of a unit on one rank: a block per shard that travels, and a part that stays.
struct UnitLayout {
  std::vector<Place> matrices;
  std::vector<Place> vectors;
  std::vector<std::size_t> block_bytes;   ///< per shard
  std::vector<std::size_t> block_starts;  ///< where each block begins in a gathered unit
  std::size_t gathered_bytes = 0;         ///< sum of block_bytes
  std::size_t kept_bytes = 0;
  std::size_t assembled_bytes = 0;  ///< for vectors put together from shards
};

struct LayoutRules {
  int shards = 1;
  int own = 0;                    ///< this rank's shard
  std::int64_t min_elements = 0;  ///< matrices and vectors with at most so many are not split
  bool split_vectors = true;
  bool equal_blocks = false;  ///< pad blocks to the longest
  bool table_stays = false;   ///< matrix 0 is a table of rows that is never gathered
};
[[nodiscard]] UnitLayout layout_unit(const UnitSpec& unit, const Backend& backend,
                                     const LayoutRules& rules);

/// Weights of a unit whose blocks lie at `gathered` and whose rest lies at `kept`; split vectors
/// lie at `assembled`, in order.
[[nodiscard]] UnitWeights make_weights(const UnitSpec& unit, const UnitLayout& layout, int own,
                                       const std::byte* gathered, const std::byte* kept,
                                       const std::byte* assembled);
/// Copies split vectors out of the blocks, in host memory.
void assemble_vectors(const UnitLayout& layout, const std::byte* gathered, std::byte* assembled);

}  // namespace gridmill::checkpoint_detail
