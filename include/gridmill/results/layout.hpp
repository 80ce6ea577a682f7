#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "gridmill/base/ids.hpp"
#include "gridmill/base/row_record.hpp"

namespace gridmill {

/// Room for a failure text, a constant of the format.
inline constexpr std::size_t kFailureBytes = 256;

/// Likeliest tokens of a position, at most.
inline constexpr std::uint32_t kMostTopLogprobs = 1024;

/// Sizes and optional datasets of a result or score file. Trivially copyable.
struct ResultShape {
  std::uint64_t rows = 0;                ///< N
  std::uint32_t samples_per_prompt = 1;  ///< row = prompt * samples_per_prompt + sample
  std::uint32_t max_length = 0;          ///< width of `tokens`
  std::uint8_t logprobs = 0;             ///< 1: has `token_logprobs`
  std::uint8_t valid = 0;                ///< 1: has `valid`
  std::uint8_t version = 1;              ///< of the format
  std::uint32_t top = 0;                 ///< width of `top_ids` and `top_logprobs`; 0 = none
  std::uint8_t scores = 0;               ///< 1: of `gridmill score`; has `sum_logprob` and `length`
  std::uint32_t vocab = 0;               ///< width of `logits`; 0 = none

  friend bool operator==(const ResultShape&, const ResultShape&) = default;
};

/// Size of a result file.
struct ResultSize {
  std::uint64_t apparent_bytes = 0;  ///< what ls shows; rows of any length
  std::uint64_t disk_bytes = 0;      ///< what is written; the rest is holes
};
/// Of a complete file whose rows have `row_tokens` tokens each, within a few pages of metadata.
/// File systems with blocks of 4 KiB are assumed.
[[nodiscard]] ResultSize result_size(const ResultShape& shape, double row_tokens);

/// Where everything of an open result file lies. Trivially copyable: one process reads it from the
/// file, all others get it by broadcast and never touch HDF5.
struct ResultLayout {
  ResultShape shape;
  std::uint64_t rows_offset = 0;          ///< RowRecord [N]
  std::uint64_t tokens_offset = 0;        ///< int32 [N, max_length]
  std::uint64_t failure_offset = 0;       ///< 256 bytes [N]
  std::uint64_t logprobs_offset = 0;      ///< float32 [N, max_length], if shape.logprobs
  std::uint64_t valid_offset = 0;         ///< uint8 [N, max_length], if shape.valid
  std::uint64_t top_ids_offset = 0;       ///< int32 [N, max_length, top], if shape.top
  std::uint64_t top_logprobs_offset = 0;  ///< float32 [N, max_length, top], if shape.top
  std::uint64_t sums_offset = 0;          ///< float64 [N], if shape.scores
  std::uint64_t lengths_offset = 0;       ///< int32 [N], if shape.scores
  std::uint64_t logits_offset = 0;        ///< float32 [N, max_length, vocab], if shape.vocab

  [[nodiscard]] std::uint64_t record_at(RowId row) const {
    return rows_offset + row * sizeof(RowRecord);
  }
  [[nodiscard]] std::uint64_t tokens_at(RowId row) const {
    return tokens_offset + row * shape.max_length * sizeof(TokenId);
  }
  [[nodiscard]] std::uint64_t failure_at(RowId row) const {
    return failure_offset + row * kFailureBytes;
  }
  [[nodiscard]] std::uint64_t logprobs_at(RowId row) const {
    return logprobs_offset + row * shape.max_length * sizeof(float);
  }
  [[nodiscard]] std::uint64_t valid_at(RowId row) const {
    return valid_offset + row * shape.max_length;
  }
  [[nodiscard]] std::uint64_t top_items() const {
    return std::uint64_t{shape.max_length} * shape.top;
  }
  [[nodiscard]] std::uint64_t top_ids_at(RowId row) const {
    return top_ids_offset + row * top_items() * sizeof(TokenId);
  }
  [[nodiscard]] std::uint64_t top_logprobs_at(RowId row) const {
    return top_logprobs_offset + row * top_items() * sizeof(float);
  }
  [[nodiscard]] std::uint64_t sum_at(RowId row) const { return sums_offset + row * sizeof(double); }
  [[nodiscard]] std::uint64_t length_at(RowId row) const {
    return lengths_offset + row * sizeof(std::int32_t);
  }
  [[nodiscard]] std::uint64_t logits_bytes() const {  // of one position
    return std::uint64_t{shape.vocab} * sizeof(float);
  }
  [[nodiscard]] std::uint64_t logits_at(RowId row, std::uint64_t position = 0) const {
    return logits_offset + (row * shape.max_length + position) * logits_bytes();
  }
  [[nodiscard]] PromptId prompt_of(RowId row) const {
    return static_cast<PromptId>(row / shape.samples_per_prompt);
  }
  [[nodiscard]] std::uint32_t sample_of(RowId row) const {
    return static_cast<std::uint32_t>(row % shape.samples_per_prompt);
  }

  friend bool operator==(const ResultLayout&, const ResultLayout&) = default;
};

}  // namespace gridmill
