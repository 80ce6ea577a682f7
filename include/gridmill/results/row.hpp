#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gridmill/base/ids.hpp"
#include "gridmill/base/row_record.hpp"
#include "gridmill/results/layout.hpp"
#include "gridmill/results/row_file.hpp"

namespace gridmill {

/// A row on its way into the file.
struct RowResult {
  RowId row = 0;
  RowStatus status = RowStatus::done;  ///< done, failed or partial
  FinishReason finish_reason = FinishReason::none;
  std::uint32_t prefix_length = 0;
  std::span<const TokenId> tokens{};      ///< prefix and generated; their number is `length`
  std::span<const float> logprobs{};      ///< as many as tokens if the file has them, else none
  std::string_view failure{};             ///< one line for a failed row, else empty
  std::span<const std::uint8_t> valid{};  ///< [max_length] if the file has them, else none
};

/// A row read back.
struct StoredRow {
  RowRecord record;
  std::vector<TokenId> tokens;      ///< [length]
  std::vector<float> logprobs;      ///< [length] or none
  std::string failure;              ///< empty unless failed
  std::vector<std::uint8_t> valid;  ///< [max_length] or none
};

/// `text` as the file keeps it: one line (control characters become blanks), at most 256 bytes, cut
/// between characters.
[[nodiscard]] std::string stored_failure_text(std::string_view text);

/// The record of `result`, sealed. `failure` must be a stored_failure_text.
[[nodiscard]] RowRecord make_record(const ResultLayout& layout, const RowResult& result);

/// crc32c over tokens[:length], token_logprobs[:length], the failure text, the `valid` row, as
/// stored, those that the file has.
[[nodiscard]] std::uint32_t payload_crc(std::span<const TokenId> tokens,
                                        std::span<const float> logprobs, std::string_view failure,
                                        std::span<const std::uint8_t> valid);

/// Whether the record alone can be trusted as that of `row`: a known status and finish reason,
/// its row's numbers, lengths within bounds, reserved 0, its crc. Empty records cannot.
[[nodiscard]] bool is_consistent(const ResultLayout& layout, RowId row, const RowRecord& record);

/// Reads a row whose record is consistent; for an empty one the record alone.
/// @throws FormatError naming the row if record or payload disagree with their crcs; IoError.
[[nodiscard]] StoredRow read_row(const RowFile& file, const ResultLayout& layout, RowId row);

/// Records [first, first + count), unchecked.
[[nodiscard]] std::vector<RowRecord> read_records(const RowFile& file, const ResultLayout& layout,
                                                  RowId first, std::uint64_t count);

}  // namespace gridmill
