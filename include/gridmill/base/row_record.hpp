#pragma once

#include <cstdint>
#include <type_traits>

#include "gridmill/base/ids.hpp"

namespace gridmill {

/// One row of dataset `rows` in the result file, exactly as stored (little-endian,
/// docs/formats/results.md). 32 bytes and 32-byte aligned in the file, so a record never crosses a
/// sector and is replaced by one write.
struct RowRecord {
  std::uint16_t status = 0;         ///< RowStatus
  std::uint16_t finish_reason = 0;  ///< FinishReason
  std::uint32_t prompt_index = 0;
  std::uint32_t sample_index = 0;
  std::uint32_t prefix_length = 0;
  std::uint32_t length = 0;  ///< tokens, prefix included
  /// In files of version 1 both are 0 and one field, `reserved`.
  std::uint16_t stop_index = 0;   ///< the stop that ended the row, from 1; 0 = none
  std::uint16_t flags = 0;        ///< kPromptTruncated
  std::uint32_t payload_crc = 0;  ///< crc32c of everything else the row has
  std::uint32_t row_crc = 0;      ///< crc32c of the 28 bytes before

  friend bool operator==(const RowRecord&, const RowRecord&) = default;
};
static_assert(sizeof(RowRecord) == 32 && std::is_trivially_copyable_v<RowRecord>);

/// RowRecord::flags: the prompt was longer and has been cut.
inline constexpr std::uint16_t kPromptTruncated = 1;

/// crc32c of the first 28 bytes.
[[nodiscard]] std::uint32_t row_record_crc(const RowRecord& record);
/// The record with `row_crc` set.
[[nodiscard]] RowRecord sealed(RowRecord record);

}  // namespace gridmill
