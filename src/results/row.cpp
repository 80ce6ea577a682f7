#include "gridmill/results/row.hpp"

#include <algorithm>
#include <bit>
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

namespace {
/// crc32c of the logits of the first `length` positions, read in pieces.
std::uint32_t stored_logits_crc(const RowFile& file, const ResultLayout& layout, RowId row,
                                std::uint64_t length) {
  constexpr std::uint64_t kPiece = 1 << 20;
  std::vector<std::byte> piece;
  std::uint32_t crc = 0;
  const std::uint64_t end = layout.logits_at(row, length);
  for (std::uint64_t at = layout.logits_at(row); at < end; at += piece.size()) {
    piece.resize(static_cast<std::size_t>(std::min(end - at, kPiece)));
    file.read(at, piece);
    crc = crc32c(piece, crc);
  }
  return crc;
}
}  // namespace

std::vector<float> own_logprobs(const ResultLayout& layout, const StoredRow& row) {
  const bool scored = layout.shape.scores != 0;
  std::vector<float> own;
  for (std::size_t t = scored ? 1 : row.record.prefix_length; t < row.logprobs.size(); ++t) {
    if (!scored || row.valid.empty() || row.valid[t] != 0) own.push_back(row.logprobs[t]);
  }
  return own;
}

double sum_of_logprobs(std::span<const float> logprobs, std::span<const std::uint8_t> counts) {
  double sum = 0;
  for (std::size_t i = 0; i < logprobs.size(); ++i) {
    if (counts.empty() || counts[i] != 0) sum += static_cast<double>(logprobs[i]);
  }
  return sum;
}

std::uint32_t payload_crc(const RowPayload& payload) {
  std::uint32_t crc = crc32c(std::as_bytes(payload.tokens));
  crc = crc32c(std::as_bytes(payload.logprobs), crc);
  crc = crc32c(std::as_bytes(payload.top_ids), crc);
  crc = crc32c(std::as_bytes(payload.top_logprobs), crc);
  crc = crc32c(std::as_bytes(std::span(payload.failure)), crc);
  crc = crc32c(std::as_bytes(payload.valid), crc);
  if (!payload.logits_crc) return crc;
  return crc32c(std::as_bytes(std::span(&*payload.logits_crc, 1)), crc);
}

void split_top(std::span<const TokenLogprob> top, std::vector<TokenId>& ids,
               std::vector<float>& logprobs) {
  for (const TokenLogprob& token : top) {
    ids.push_back(token.id);
    logprobs.push_back(token.logprob);
  }
}

RowRecord make_record(const ResultLayout& layout, const RowResult& result) {
  RowRecord record;
  record.status = static_cast<std::uint16_t>(result.status);
  record.finish_reason = static_cast<std::uint16_t>(result.finish_reason);
  record.prompt_index = layout.prompt_of(result.row);
  record.sample_index = layout.sample_of(result.row);
  record.prefix_length = result.prefix_length;
  record.length = static_cast<std::uint32_t>(result.tokens.size());
  if (layout.shape.version > 1) {
    record.stop_index = result.stop_index;
    record.flags = result.flags;
  }
  std::vector<TokenId> top_ids;
  std::vector<float> top_logprobs;
  split_top(result.top, top_ids, top_logprobs);
  RowPayload payload{.tokens = result.tokens,
                     .logprobs = result.logprobs,
                     .top_ids = top_ids,
                     .top_logprobs = top_logprobs,
                     .failure = result.failure,
                     .valid = result.valid};
  if (layout.shape.vocab != 0) payload.logits_crc = result.logits_crc;
  record.payload_crc = payload_crc(payload);
  return sealed(record);
}

namespace {
/// Version 1 has neither stops nor flags; a stop is named only by rows that one has ended.
bool known_extras(const ResultLayout& layout, const RowRecord& record) {
  if (layout.shape.version == 1) return record.stop_index == 0 && record.flags == 0;
  return (record.flags & ~kPromptTruncated) == 0 &&
         (record.stop_index == 0 ||
          record.finish_reason == static_cast<std::uint16_t>(FinishReason::stop));
}
}  // namespace

bool is_consistent(const ResultLayout& layout, RowId row, const RowRecord& record) {
  return record.status >= static_cast<std::uint16_t>(RowStatus::done) &&
         record.status <= static_cast<std::uint16_t>(RowStatus::partial) &&
         record.finish_reason <= static_cast<std::uint16_t>(FinishReason::error) &&
         record.prompt_index == layout.prompt_of(row) &&
         record.sample_index == layout.sample_of(row) && known_extras(layout, record) &&
         record.length <= layout.shape.max_length && record.prefix_length <= record.length &&
         record.row_crc == row_record_crc(record);
}

namespace {
/// The two datasets of a score file that say again what the others do.
void read_sums(const RowFile& file, const ResultLayout& layout, RowId row, StoredRow& stored) {
  stored.sum_logprob = read_values<double>(file, layout.sum_at(row), 1).front();
  const std::int32_t length = read_values<std::int32_t>(file, layout.length_at(row), 1).front();
  const double sum = sum_of_logprobs(stored.logprobs, stored.valid);
  if (std::bit_cast<std::uint64_t>(sum) == std::bit_cast<std::uint64_t>(stored.sum_logprob) &&
      length == static_cast<std::int32_t>(stored.record.length)) {
    return;
  }
  throw FormatError(
      fmt::format("{}: sum_logprob or length of row {} is damaged", file.path(), row));
}
}  // namespace

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
  if (layout.shape.top != 0) {
    const std::size_t items = length * layout.shape.top;
    stored.top_ids = read_values<TokenId>(file, layout.top_ids_at(row), items);
    stored.top_logprobs = read_values<float>(file, layout.top_logprobs_at(row), items);
  }
  if (stored.record.status == static_cast<std::uint16_t>(RowStatus::failed)) {
    stored.failure.resize(kFailureBytes);
    file.read(layout.failure_at(row), std::as_writable_bytes(std::span(stored.failure)));
    stored.failure.resize(::strnlen(stored.failure.data(), kFailureBytes));
  }
  if (layout.shape.valid != 0) {
    stored.valid = read_values<std::uint8_t>(file, layout.valid_at(row), layout.shape.max_length);
  }
  RowPayload payload{.tokens = stored.tokens,
                     .logprobs = stored.logprobs,
                     .top_ids = stored.top_ids,
                     .top_logprobs = stored.top_logprobs,
                     .failure = stored.failure,
                     .valid = stored.valid};
  if (layout.shape.vocab != 0) payload.logits_crc = stored_logits_crc(file, layout, row, length);
  if (layout.shape.scores != 0) read_sums(file, layout, row, stored);
  if (payload_crc(payload) != stored.record.payload_crc) {
    throw FormatError(fmt::format("{}: the tokens of row {} are damaged", file.path(), row));
  }
  return stored;
}

}  // namespace gridmill
