#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gridmill/base/ids.hpp"
#include "gridmill/base/row_record.hpp"
#include "gridmill/base/token_logprob.hpp"
#include "gridmill/results/layout.hpp"
#include "gridmill/results/row_file.hpp"

namespace gridmill {

/// A row on its way into the file.
struct RowResult {
  RowId row = 0;
  RowStatus status = RowStatus::done;  ///< done, failed or partial
  FinishReason finish_reason = FinishReason::none;
  std::uint32_t prefix_length = 0;
  std::span<const TokenId> tokens{};  ///< prefix and generated; their number is `length`
  std::span<const float> logprobs{};  ///< as many as tokens if the file has them, else none
  /// The likeliest tokens of each: top_logprobs entries a token if the file has them, else none.
  std::span<const TokenLogprob> top{};
  std::uint16_t stop_index = 0;           ///< number of the stop that ended it; files of version 2
  std::uint16_t flags = 0;                ///< RowFlags; files of version 2
  std::string_view failure{};             ///< one line for a failed row, else empty
  std::span<const std::uint8_t> valid{};  ///< [max_length] if the file has them, else none
  /// With logits: crc32c of the row's logits, [length, vocab], which are in the file before the
  /// row is put (ResultStore::put_logits).
  std::uint32_t logits_crc = 0;
};

/// A row read back.
struct StoredRow {
  RowRecord record;
  std::vector<TokenId> tokens;      ///< [length]
  std::vector<float> logprobs;      ///< [length] or none
  std::vector<TokenId> top_ids;     ///< [length, top] or none
  std::vector<float> top_logprobs;  ///< [length, top] or none
  std::string failure;              ///< empty unless failed
  std::vector<std::uint8_t> valid;  ///< [max_length] or none
  double sum_logprob = 0;           ///< of a score file
};

/// `sum_logprob` of a score file: the sum of the log-probabilities of tokens that count, in
/// ascending order. @param counts  1 for those; empty = all of them.
[[nodiscard]] double sum_of_logprobs(std::span<const float> logprobs,
                                     std::span<const std::uint8_t> counts);

/// Log-probabilities of the tokens that are the row's own: the new ones; in a score file those that
/// count, but token 0, which nothing predicts. Empty without log-probabilities.
[[nodiscard]] std::vector<float> own_logprobs(const ResultLayout& layout, const StoredRow& row);

/// `text` as the file keeps it: one line (control characters become blanks), at most 256 bytes, cut
/// between characters.
[[nodiscard]] std::string stored_failure_text(std::string_view text);

/// The two datasets of RowResult::top, appended.
void split_top(std::span<const TokenLogprob> top, std::vector<TokenId>& ids,
               std::vector<float>& logprobs);

/// The record of `result`, sealed. `failure` must be a stored_failure_text.
[[nodiscard]] RowRecord make_record(const ResultLayout& layout, const RowResult& result);

/// Parts of a payload, as stored.
struct RowPayload {
  std::span<const TokenId> tokens{};
  std::span<const float> logprobs{};
  std::span<const TokenId> top_ids{};
  std::span<const float> top_logprobs{};
  std::string_view failure{};
  std::span<const std::uint8_t> valid{};
  std::optional<std::uint32_t> logits_crc{};  ///< of a file with logits
};

/// crc32c over tokens[:length], token_logprobs[:length], top_ids[:length], top_logprobs[:length],
/// the failure text, the `valid` row, and crc32c of logits[:length] as a number of 32 bits, those
/// that the file has.
[[nodiscard]] std::uint32_t payload_crc(const RowPayload& payload);

/// Whether the record alone can be trusted as that of `row`: a known status and finish reason,
/// its row's numbers, lengths within bounds, stop and flags as its version has them, its crc. Empty
/// records cannot.
[[nodiscard]] bool is_consistent(const ResultLayout& layout, RowId row, const RowRecord& record);

/// Reads a row whose record is consistent; for an empty one the record alone.
/// @throws FormatError naming the row if record or payload disagree with their crcs; IoError.
[[nodiscard]] StoredRow read_row(const RowFile& file, const ResultLayout& layout, RowId row);

/// Records [first, first + count), unchecked.
[[nodiscard]] std::vector<RowRecord> read_records(const RowFile& file, const ResultLayout& layout,
                                                  RowId first, std::uint64_t count);

}  // namespace gridmill
