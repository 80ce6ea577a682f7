#pragma once

#include <algorithm>
#include <cstdint>

#include "gridmill/params/weight_format.hpp"

namespace gridmill {

/// Half-open range of indices.
struct IndexRange {
  std::int64_t first = 0;
  std::int64_t count = 0;
  [[nodiscard]] constexpr std::int64_t end() const { return first + count; }
  friend bool operator==(const IndexRange&, const IndexRange&) = default;
};

/// A row-parallel matrix cuts its inputs (k) into 8 blocks; their partial sums join in a balanced
/// binary tree, so that 1, 2, 4 or 8 tp ranks own whole sub-trees (docs/numerics.md).
inline constexpr int kReductionBlocks = 8;

/// Inputs per block: round_up(ceil(inputs / 8), 2); the last blocks may be shorter or empty.
[[nodiscard]] constexpr std::int64_t reduction_block_inputs(std::int64_t inputs) {
  const std::int64_t block = (inputs + kReductionBlocks - 1) / kReductionBlocks;
  return (block + 1) / 2 * 2;
}

/// Inputs of blocks [8 * rank / size, 8 * (rank + 1) / size): what one tp rank holds of `inputs`.
[[nodiscard]] constexpr IndexRange reduction_slice(std::int64_t inputs, int tp_size, int tp_rank) {
  const std::int64_t per_rank = reduction_block_inputs(inputs) * (kReductionBlocks / tp_size);
  const std::int64_t first = std::min(inputs, per_rank * tp_rank);
  return {first, std::min(inputs, first + per_rank) - first};
}

/// Vocabulary reductions run over blocks of 64 ids; 8 contiguous groups of blocks are the unit of
/// tp.
inline constexpr int kVocabularyBlock = 64;
inline constexpr int kVocabularyGroups = 8;

/// Ids per group: 64 * ceil(blocks / 8). The last groups may be shorter or empty.
[[nodiscard]] constexpr std::int64_t vocabulary_group_ids(std::int64_t vocab_size) {
  const std::int64_t blocks = (vocab_size + kVocabularyBlock - 1) / kVocabularyBlock;
  return (blocks + kVocabularyGroups - 1) / kVocabularyGroups * kVocabularyBlock;
}

/// Ids whose embedding and head rows one tp rank holds; may be empty for tiny vocabularies.
[[nodiscard]] constexpr IndexRange vocabulary_slice(std::int64_t vocab_size, int tp_size,
                                                    int tp_rank) {
  const std::int64_t per_rank = vocabulary_group_ids(vocab_size) * (kVocabularyGroups / tp_size);
  const std::int64_t first = std::min(vocab_size, per_rank * tp_rank);
  return {first, std::min(vocab_size, first + per_rank) - first};
}

/// Shard `index` of `count` things cut into `shards` contiguous parts that differ by at most one.
[[nodiscard]] constexpr IndexRange even_shard(std::int64_t count, int shards, int index) {
  const std::int64_t first = count * index / shards;
  return {first, count * (index + 1) / shards - first};
}

/// Shape of a matrix as a kernel sees it on one tp rank: y[outputs] = W[outputs, inputs] x[inputs].
struct MatrixShape {
  std::int64_t outputs = 0;
  std::int64_t inputs = 0;
  /// Row-parallel: the inputs are cut into the 8 fixed blocks of `whole_inputs`; this rank holds
  /// those from `first_input`, a whole number of blocks.
  bool row_parallel = false;
  std::int64_t whole_inputs = 0;
  std::int64_t first_input = 0;
  /// How the numbers are kept in memory; codes only where Backend::holds says so.
  WeightFormat format = {};
  friend bool operator==(const MatrixShape&, const MatrixShape&) = default;

  /// Inputs after which groups of codes restart: a block of a row-parallel matrix, else all.
  [[nodiscard]] constexpr std::int64_t group_block() const {
    return row_parallel ? reduction_block_inputs(whole_inputs) : inputs;
  }
  /// Groups of the inputs that are here.
  [[nodiscard]] constexpr std::int64_t groups() const {
    return groups_in(inputs, group_block(), format.group);
  }
  /// Bytes of one output as Backend::pack_panel takes it: `inputs` codes of 8 bits, also those of 4
  /// bits, then groups() scales in fp16.
  [[nodiscard]] constexpr std::int64_t coded_row_bytes() const {
    return inputs + groups() * kScaleBytes;
  }
};

}  // namespace gridmill
