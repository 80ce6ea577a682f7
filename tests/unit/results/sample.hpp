#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gridmill/base/file.hpp"
#include "gridmill/results/result_file.hpp"
#include "gridmill/results/result_store.hpp"
#include "gridmill/results/row.hpp"

namespace gridmill::test {

inline JobIdentity sample_identity(std::uint32_t samples = 1) {
  return {Json{{"model", "xxh3-128:0123"},
               {"prompts", "xxh3-128:4567"},
               {"samples_per_prompt", samples},
               {"seed", 7},
               {"temperature", 0.7F},
               {"numerics", "1"}}};
}

inline void create_sample(const std::string& path, const ResultShape& shape) {
  ResultFile::create(path, sample_identity(shape.samples_per_prompt), shape, "0.1.0");
}

/// A row whose content follows from its number alone, as generation promises.
struct SampleRow {
  SampleRow(const ResultShape& shape, RowId number, RowStatus wanted = RowStatus::done) {
    status = number % 7 == 3 && wanted == RowStatus::done ? RowStatus::failed : wanted;
    row = number;
    prefix_length = status == RowStatus::failed ? 0 : 1;
    const std::size_t length =
        status == RowStatus::failed ? 0 : 1 + (number * 2654435761U) % shape.max_length;
    for (std::size_t t = 0; t < length; ++t) {
      tokens.push_back(static_cast<TokenId>(number * 1000 + t + 1));
      if (shape.logprobs != 0) logprobs.push_back(-0.25F * static_cast<float>(t));
    }
    if (status == RowStatus::failed) failure = "line " + std::to_string(number) + " is no JSON";
    if (shape.valid != 0) {
      valid.assign(shape.max_length, 0);
      for (std::size_t t = 0; t < length; ++t) valid[t] = 1;
    }
  }

  /// The first `length` tokens as a partial row; all of them as the row it is.
  [[nodiscard]] RowResult result(std::size_t length = SIZE_MAX) const {
    RowResult result{.row = row, .status = status, .prefix_length = prefix_length};
    result.finish_reason = status == RowStatus::failed ? FinishReason::error : FinishReason::length;
    result.tokens = tokens;
    result.logprobs = logprobs;
    result.failure = failure;
    result.valid = valid;
    if (length < tokens.size()) {
      result.status = RowStatus::partial;
      result.finish_reason = FinishReason::none;
      result.tokens = result.tokens.first(length);
      if (!logprobs.empty()) result.logprobs = result.logprobs.first(length);
    }
    return result;
  }

  RowId row = 0;
  RowStatus status = RowStatus::done;
  std::uint32_t prefix_length = 0;
  std::vector<TokenId> tokens;
  std::vector<float> logprobs;
  std::string failure;
  std::vector<std::uint8_t> valid;
};

/// Whether `stored` is exactly that row.
inline bool holds(const StoredRow& stored, const SampleRow& row) {
  return stored.record.status == static_cast<std::uint16_t>(row.status) &&
         stored.tokens == row.tokens && stored.logprobs == row.logprobs &&
         stored.failure == row.failure && stored.valid == row.valid;
}

/// Flips one bit of a file.
inline void flip_bit(const std::string& path, std::uint64_t byte, unsigned bit) {
  const auto file = open_row_file(path, true);
  std::byte value{};
  file->read(byte, std::span(&value, 1));
  value ^= std::byte{1} << bit;
  file->write(byte, std::span(&value, 1));
}

}  // namespace gridmill::test
