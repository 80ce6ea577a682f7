#include "gridmill/results/recovery.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "gridmill/base/error.hpp"
#include "gridmill/base/parallel.hpp"
#include "gridmill/results/row.hpp"
#include "zeros_detail.hpp"

namespace gridmill {

namespace {

/// Whether only zeros lie behind what a done or failed row holds.
bool ends_in_zeros(const RowFile& file, const ResultLayout& layout, RowId row,
                   const StoredRow& stored) {
  const std::uint64_t length = stored.record.length;
  const std::uint64_t rest = layout.shape.max_length - length;
  return detail::all_zero(file, layout.tokens_at(row) + length * sizeof(TokenId),
                          rest * sizeof(TokenId)) &&
         (layout.shape.logprobs == 0 ||
          detail::all_zero(file, layout.logprobs_at(row) + length * sizeof(float),
                           rest * sizeof(float))) &&
         (layout.shape.top == 0 ||
          (detail::all_zero(file,
                            layout.top_ids_at(row) + length * layout.shape.top * sizeof(TokenId),
                            rest * layout.shape.top * sizeof(TokenId)) &&
           detail::all_zero(file,
                            layout.top_logprobs_at(row) + length * layout.shape.top * sizeof(float),
                            rest * layout.shape.top * sizeof(float)))) &&
         (layout.shape.vocab == 0 ||
          detail::all_zero(file, layout.logits_at(row, length), rest * layout.logits_bytes())) &&
         detail::all_zero(file, layout.failure_at(row) + stored.failure.size(),
                          kFailureBytes - stored.failure.size());
}

RowState judge(const RowFile& file, const ResultLayout& layout, RowId row, const RowRecord& record,
               const ScanOptions& options) {
  if (record == RowRecord{}) return RowState::missing;
  if (!is_consistent(layout, row, record)) return RowState::damaged;
  const auto state = static_cast<RowState>(record.status);
  if (!options.payload) return state;
  StoredRow stored;
  try {
    stored = read_row(file, layout, row);
  } catch (const FormatError&) {
    return RowState::damaged;
  }
  // A partial row may be followed by tokens that a killed run appended but did not commit.
  const bool ends_well = state == RowState::partial || ends_in_zeros(file, layout, row, stored);
  // The record may have been replaced since it was read: then judge what is there now.
  if (stored.record != record) return judge(file, layout, row, stored.record, {.payload = false});
  return ends_well ? state : RowState::damaged;
}

constexpr std::uint64_t kBlockRows = 1024;

/// Judges the rows [first, first + states.size()) of one block.
void scan_block(const RowFile& file, const ResultLayout& layout, RowId first,
                std::span<RowState> states, const ScanOptions& options) {
  const std::vector<RowRecord> records = read_records(file, layout, first, states.size());
  for (std::size_t i = 0; i < states.size(); ++i) {
    const RowId row = first + i;
    states[i] = judge(file, layout, row, records[i], options);
    if (states[i] == RowState::damaged) {
      const RowRecord again = read_records(file, layout, row, 1).front();
      states[i] = judge(file, layout, row, again, options);
    }
  }
}

}  // namespace

std::vector<RowState> scan_rows(const RowFile& file, const ResultLayout& layout, RowId first,
                                std::uint64_t count, const ScanOptions& options) {
  if (first > layout.shape.rows || count > layout.shape.rows - first) {
    throw InternalError("a scan beyond the rows of the file");
  }
  std::vector<RowState> states(static_cast<std::size_t>(count), RowState::missing);
  const std::uint64_t blocks = (count + kBlockRows - 1) / kBlockRows;
  run_parallel(options.threads, static_cast<std::size_t>(blocks), [&](std::size_t block) {
    const std::uint64_t begin = block * kBlockRows;
    const std::uint64_t rows = std::min(kBlockRows, count - begin);
    scan_block(
        file, layout, first + begin,
        std::span(states).subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(rows)),
        options);
  });
  return states;
}

std::vector<RowId> rows_in_state(const std::vector<RowState>& states, RowState state, RowId first) {
  std::vector<RowId> rows;
  for (std::size_t i = 0; i < states.size(); ++i) {
    if (states[i] == state) rows.push_back(first + i);
  }
  return rows;
}

}  // namespace gridmill
