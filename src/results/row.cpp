#include "gridmill/results/row.hpp"

#include <algorithm>
#include <cstring>

#include "gridmill/base/crc32c.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill {

namespace {

bool is_continuation_byte(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80U; }

template <typename T>
std::vector<T> read_values(const RowFile& file, std::uint64_t offset, std::size_t count) {
  std::vector<T> values(count);
  if (count > 0) file.read(offset, std::as_writable_bytes(std::span(values)));
  return values;
}

}  // namespace

std::string stored_failure_text(std::string_view text) {
  std::string line(text);
  for (char& byte : line) {
    const auto code = static_cast<unsigned char>(byte);
    if (code < 0x20 || code == 0x7F) byte = ' ';
  }
  if (line.size() > kFailureBytes) {
    std::size_t end = kFailureBytes;
    while (end > 0 && is_continuation_byte(line[end])) --end;
    line.resize(end);
  }
  return line;
}

std::uint32_t payload_crc(std::span<const TokenId> tokens, std::span<const float> logprobs,
                          std::string_view failure, std::span<const std::uint8_t> valid) {
  std::uint32_t crc = crc32c(std::as_bytes(tokens));
  crc = crc32c(std::as_bytes(logprobs), crc);
  crc = crc32c(std::as_bytes(std::span(failure)), crc);
  return crc32c(std::as_bytes(valid), crc);
}

RowRecord make_record(const ResultLayout& layout, const RowResult& result) {
  RowRecord record;
  record.status = static_cast<std::uint16_t>(result.status);
  record.finish_reason = static_cast<std::uint16_t>(result.finish_reason);
  record.prompt_index = layout.prompt_of(result.row);
  record.sample_index = layout.sample_of(result.row);
  record.prefix_length = result.prefix_length;
  record.length = static_cast<std::uint32_t>(result.tokens.size());
  record.payload_crc = payload_crc(result.tokens, result.logprobs, result.failure, result.valid);
  return sealed(record);
}

bool is_consistent(const ResultLayout& layout, RowId row, const RowRecord& record) {
  return record.status >= static_cast<std::uint16_t>(RowStatus::done) &&
         record.status <= static_cast<std::uint16_t>(RowStatus::partial) &&
         record.finish_reason <= static_cast<std::uint16_t>(FinishReason::error) &&
         record.prompt_index == layout.prompt_of(row) &&
         record.sample_index == layout.sample_of(row) && record.reserved == 0 &&
         record.length <= layout.shape.max_length && record.prefix_length <= record.length &&
         record.row_crc == row_record_crc(record);
}

std::vector<RowRecord> read_records(const RowFile& file, const ResultLayout& layout, RowId first,
                                    std::uint64_t count) {
  return read_values<RowRecord>(file, layout.record_at(first), static_cast<std::size_t>(count));
}

StoredRow read_row(const RowFile& file, const ResultLayout& layout, RowId row) {
  if (row >= layout.shape.rows) {
    throw InternalError(
        fmt::format("row {} was asked for, {} has {}", row, file.path(), layout.shape.rows));
  }
  StoredRow stored;
  stored.record = read_records(file, layout, row, 1).front();
  if (stored.record == RowRecord{}) return stored;
  if (!is_consistent(layout, row, stored.record)) {
    throw FormatError(fmt::format("{}: the record of row {} is damaged", file.path(), row));
  }
  const std::size_t length = stored.record.length;
  stored.tokens = read_values<TokenId>(file, layout.tokens_at(row), length);
  if (layout.shape.logprobs != 0) {
    stored.logprobs = read_values<float>(file, layout.logprobs_at(row), length);
  }
  if (stored.record.status == static_cast<std::uint16_t>(RowStatus::failed)) {
    stored.failure.resize(kFailureBytes);
    file.read(layout.failure_at(row), std::as_writable_bytes(std::span(stored.failure)));
    stored.failure.resize(::strnlen(stored.failure.data(), kFailureBytes));
  }
  if (layout.shape.valid != 0) {
    stored.valid = read_values<std::uint8_t>(file, layout.valid_at(row), layout.shape.max_length);
  }
  if (payload_crc(stored.tokens, stored.logprobs, stored.failure, stored.valid) !=
      stored.record.payload_crc) {
    throw FormatError(fmt::format("{}: the tokens of row {} are damaged", file.path(), row));
  }
  return stored;
}

}  // namespace gridmill
