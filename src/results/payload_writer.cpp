#include <algorithm>
#include <numeric>
#include <utility>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "payload_writer_detail.hpp"
#include "zeros_detail.hpp"

namespace gridmill::detail {

namespace {

/// Slots of a run are put together up to so many bytes.
constexpr std::uint64_t kMostAtOnce = 1 << 20;
/// Longer slots are written one by one, so that the hole behind a short row stays a hole.
constexpr std::uint64_t kPage = 4096;

/// Calls visit(first, count) for stretches of `rows` (sorted, no two alike) without a gap.
template <typename RowAt, typename Visit>
void for_each_run(std::size_t size, std::size_t most, RowAt&& row_at, Visit&& visit) {
  for (std::size_t first = 0; first < size;) {
    std::size_t end = first + 1;
    while (end < size && end - first < most && row_at(end) == row_at(end - 1) + 1) ++end;
    visit(first, end - first);
    first = end;
  }
}

}  // namespace

PendingRow::PendingRow(const ResultLayout& layout, const RowResult& result)
    : row(result.row),
      record(make_record(layout, result)),
      tokens(result.tokens.begin(), result.tokens.end()),
      logprobs(result.logprobs.begin(), result.logprobs.end()),
      valid(result.valid.begin(), result.valid.end()),
      failure(result.failure) {
  split_top(result.top, top_ids, top_logprobs);
}

std::size_t PendingRow::bytes() const {
  return sizeof(*this) + tokens.size() * sizeof(TokenId) + logprobs.size() * sizeof(float) +
         top_ids.size() * (sizeof(TokenId) + sizeof(float)) + valid.size() + failure.size();
}

std::vector<PendingRecord> PayloadWriter::write(std::vector<PendingRow> rows) {
  std::vector<std::size_t> order(rows.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return rows[a].row < rows[b].row; });
  std::vector<const PendingRow*> sorted;
  for (const std::size_t i : order) {
    if (!sorted.empty() && sorted.back()->row == rows[i].row) sorted.pop_back();
    sorted.push_back(&rows[i]);
  }
  std::vector<bool> settled(sorted.size());
  const std::uint64_t items = layout_.shape.max_length * std::max(1U, layout_.shape.top);
  const auto widest =
      std::max<std::uint64_t>(kFailureBytes, items * std::max(sizeof(TokenId), sizeof(float)));
  const auto most = static_cast<std::size_t>(std::max<std::uint64_t>(1, kMostAtOnce / widest));
  for_each_run(
      sorted.size(), most, [&](std::size_t i) { return sorted[i]->row; },
      [&](std::size_t first, std::size_t count) {
        write_run(std::span(sorted).subspan(first, count), settled, first);
      });
  std::vector<const PendingRow*> written;
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    if (!settled[i]) written.push_back(sorted[i]);
  }
  std::sort(written.begin(), written.end());  // by place in `rows`: the order in which they came
  std::vector<PendingRecord> records;
  records.reserve(written.size());
  for (const PendingRow* row : written) records.push_back({row->row, row->record});
  return records;
}

void PayloadWriter::write_run(Rows run, std::vector<bool>& settled, std::size_t first) {
  const std::vector<RowRecord> old = read_records(*file_, layout_, run.front()->row, run.size());
  for (std::size_t i = 0; i < run.size(); ++i) {
    if (old[i] == RowRecord{}) continue;
    settled[first + i] = is_settled(old[i], *run[i]);
    if (!settled[first + i]) retire_record_unless_it_stays_true(old[i], *run[i]);
  }
  const ResultShape& shape = layout_.shape;
  for (std::size_t begin = 0; begin < run.size();) {
    if (settled[first + begin]) {
      ++begin;
      continue;
    }
    std::size_t end = begin + 1;
    while (end < run.size() && !settled[first + end]) ++end;
    const Rows rows = run.subspan(begin, end - begin);
    const RowId row = rows.front()->row;
    write_slots(rows, layout_.tokens_at(row), shape.max_length, &PendingRow::tokens);
    if (shape.logprobs != 0) {
      write_slots(rows, layout_.logprobs_at(row), shape.max_length, &PendingRow::logprobs);
    }
    if (shape.top != 0) {
      write_slots(rows, layout_.top_ids_at(row), layout_.top_items(), &PendingRow::top_ids);
      write_slots(rows, layout_.top_logprobs_at(row), layout_.top_items(),
                  &PendingRow::top_logprobs);
    }
    if (shape.valid != 0) {
      write_slots(rows, layout_.valid_at(row), shape.max_length, &PendingRow::valid);
    }
    if (shape.scores != 0) write_scores(rows);
    write_failures(rows);
    begin = end;
  }
}

template <typename T>
void PayloadWriter::write_slots(Rows rows, std::uint64_t at, std::uint64_t slot_items,
                                std::vector<T> PendingRow::*values) {
  const std::uint64_t slot_bytes = slot_items * sizeof(T);
  if (slot_bytes > kPage) {
    for (const PendingRow* row : rows) {
      write_padded(at, std::as_bytes(std::span(row->*values)), slot_bytes);
      at += slot_bytes;
    }
    return;
  }
  std::vector<T> slots(rows.size() * static_cast<std::size_t>(slot_items));
  auto slot = slots.begin();
  for (const PendingRow* row : rows) {
    std::copy((row->*values).begin(), (row->*values).end(), slot);
    slot += static_cast<std::ptrdiff_t>(slot_items);
  }
  write_bytes(at, std::as_bytes(std::span(slots)));
}

/// Datasets that repeat the content of others, and zeros behind logits that are already written.
void PayloadWriter::write_scores(Rows rows) {
  std::vector<double> sums;
  std::vector<std::int32_t> lengths;
  for (const PendingRow* row : rows) {
    sums.push_back(sum_of_logprobs(row->logprobs, row->valid));
    lengths.push_back(static_cast<std::int32_t>(row->tokens.size()));
    if (layout_.shape.vocab == 0) continue;
    const std::uint64_t begin = layout_.logits_at(row->row, row->tokens.size());
    bytes_written_ += write_zeros(*file_, begin, layout_.logits_at(row->row + 1) - begin);
  }
  write_bytes(layout_.sum_at(rows.front()->row), std::as_bytes(std::span(sums)));
  write_bytes(layout_.length_at(rows.front()->row), std::as_bytes(std::span(lengths)));
}

void PayloadWriter::write_failures(Rows rows) {
  const std::uint64_t at = layout_.failure_at(rows.front()->row);
  const bool none = std::all_of(rows.begin(), rows.end(),
                                [](const PendingRow* row) { return row->failure.empty(); });
  if (none) {
    bytes_written_ += write_zeros(*file_, at, rows.size() * kFailureBytes);
    return;
  }
  for (std::size_t i = 0; i < rows.size(); ++i) {
    write_padded(at + i * kFailureBytes, std::as_bytes(std::span(rows[i]->failure)), kFailureBytes);
  }
}

void PayloadWriter::write_records(std::span<const PendingRecord> records) {
  std::vector<PendingRecord> sorted(records.begin(), records.end());
  std::sort(sorted.begin(), sorted.end(),
            [](const PendingRecord& a, const PendingRecord& b) { return a.row < b.row; });
  // A record has its own checksum and lies within a sector: a write of many may be cut anywhere
  // between two.
  for_each_run(
      sorted.size(), kMostAtOnce / sizeof(RowRecord), [&](std::size_t i) { return sorted[i].row; },
      [&](std::size_t first, std::size_t count) {
        std::vector<RowRecord> run(count);
        for (std::size_t i = 0; i < count; ++i) run[i] = sorted[first + i].record;
        write_bytes(layout_.record_at(sorted[first].row), std::as_bytes(std::span(run)));
      });
}

/// A done row is never written again. A caller that puts it once more has lost the file to another
/// run unnoticed, or generates a whole batch because of its missing rows. In both cases it
/// holds the same row, or less of it.
bool PayloadWriter::is_settled(const RowRecord& old, const PendingRow& row) const {
  if (old.status != static_cast<std::uint16_t>(RowStatus::done) ||
      !is_consistent(layout_, row.row, old)) {
    return false;
  }
  try {
    static_cast<void>(read_row(*file_, layout_, row.row));
  } catch (const FormatError&) {  // two runs met in it: write it anew
    return false;
  }
  if (row.record == old || row.record.status == static_cast<std::uint16_t>(RowStatus::partial)) {
    return true;
  }
  throw InternalError(
      fmt::format("row {} of {} is done, and now came out differently (length {}, before {})",
                  row.row, file_->path(), row.record.length, old.length));
}

/// A row in flight may have a record already. It stays if the new payload only appends;
/// else it is removed first, so that a kill in between leaves a missing row and not a damaged one.
void PayloadWriter::retire_record_unless_it_stays_true(const RowRecord& old,
                                                       const PendingRow& row) {
  const auto logprobs = std::span(row.logprobs);
  const std::size_t top_items =
      std::min(std::size_t{old.length} * layout_.shape.top, row.top_ids.size());
  const bool stays_true =
      is_consistent(layout_, row.row, old) &&
      old.status == static_cast<std::uint16_t>(RowStatus::partial) &&
      old.length <= row.tokens.size() &&
      old.payload_crc ==
          payload_crc({.tokens = std::span(row.tokens).first(old.length),
                       .logprobs = logprobs.first(layout_.shape.logprobs != 0 ? old.length : 0),
                       .top_ids = std::span(row.top_ids).first(top_items),
                       .top_logprobs = std::span(row.top_logprobs).first(top_items),
                       .valid = row.valid});
  if (stays_true) return;
  const RowRecord empty;
  write_bytes(layout_.record_at(row.row), std::as_bytes(std::span(&empty, 1)));
}

/// `bytes`, then zeros up to `room`; holes stay holes.
void PayloadWriter::write_padded(std::uint64_t at, std::span<const std::byte> bytes,
                                 std::uint64_t room) {
  if (!bytes.empty()) write_bytes(at, bytes);
  bytes_written_ += write_zeros(*file_, at + bytes.size(), room - bytes.size());
}

void PayloadWriter::write_bytes(std::uint64_t at, std::span<const std::byte> bytes) {
  file_->write(at, bytes);
  bytes_written_ += bytes.size();
}

}  // namespace gridmill::detail
