#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "gridmill/base/row_record.hpp"
#include "gridmill/results/layout.hpp"
#include "gridmill/results/row.hpp"
#include "gridmill/results/row_file.hpp"

namespace gridmill::detail {

/// A record whose payload has been written.
struct PendingRecord {
  RowId row = 0;
  RowRecord record;
};

/// A row on its way to the file, with what it holds.
struct PendingRow {
  PendingRow(const ResultLayout& layout, const RowResult& result);
  [[nodiscard]] std::size_t bytes() const;

  RowId row = 0;
  RowRecord record;
  std::vector<TokenId> tokens;
  std::vector<float> logprobs;
  std::vector<TokenId> top_ids;
  std::vector<float> top_logprobs;
  std::vector<std::uint8_t> valid;
  std::string failure;
};

/// Writes what rows hold, everything but their records, with few calls: rows that end at about the
/// same time are neighbours in the file as a rule.
class PayloadWriter {
 public:
  PayloadWriter(RowFile& file, const ResultLayout& layout) : file_(&file), layout_(layout) {}

  /// If a row comes twice, the last one counts. @return the records to write once this is
  /// durable, in the order of `rows`; none for rows that were done before.
  /// @throws IoError; InternalError if a row is done with other content.
  [[nodiscard]] std::vector<PendingRecord> write(std::vector<PendingRow> rows);
  /// Writes logits of a row from `position` on.
  void write_logits(RowId row, std::uint64_t position, std::span<const float> logits) {
    write_bytes(layout_.logits_at(row, position), std::as_bytes(logits));
  }
  /// Writes records, neighbours together.
  void write_records(std::span<const PendingRecord> records);
  [[nodiscard]] std::uint64_t bytes_written() const { return bytes_written_; }

 private:
  using Rows = std::span<const PendingRow* const>;
  /// Rows of successive numbers. @param settled  set for those that are done already.
  void write_run(Rows run, std::vector<bool>& settled, std::size_t first);
  template <typename T>
  void write_slots(Rows rows, std::uint64_t at, std::uint64_t slot_items,
                   std::vector<T> PendingRow::*values);
  void write_scores(Rows rows);
  void write_failures(Rows rows);
  [[nodiscard]] bool is_settled(const RowRecord& old, const PendingRow& row) const;
  void retire_record_unless_it_stays_true(const RowRecord& old, const PendingRow& row);
  void write_padded(std::uint64_t at, std::span<const std::byte> bytes, std::uint64_t room);
  void write_bytes(std::uint64_t at, std::span<const std::byte> bytes);

  RowFile* file_;
  ResultLayout layout_;
  std::uint64_t bytes_written_ = 0;
};

}  // namespace gridmill::detail
