#include "cli/export_rows.hpp"

#include <algorithm>
#include <utility>

namespace gridmill::cli {

RowState RowWalk::state_of(RowId row) {
  constexpr std::uint64_t kBlockRows = 1024;
  if (row < block_begin_ || row - block_begin_ >= block_.size()) {
    const ResultFile& file = records_.result();
    block_begin_ = row;
    block_ = scan_rows(file.rows(), file.layout(), row,
                       std::min(kBlockRows, file.layout().shape.rows - row));
  }
  return block_[static_cast<std::size_t>(row - block_begin_)];
}

std::optional<PromptRows> RowWalk::next() {
  const ResultShape& shape = records_.result().layout().shape;
  PromptRows found;
  while (next_ < shape.rows && found.rows.empty()) {
    found.prompt = records_.result().layout().prompt_of(next_);
    const RowId end = std::min<RowId>(shape.rows, next_ + shape.samples_per_prompt);
    for (; next_ < end; ++next_) {
      const RowState state = state_of(next_);
      if (state != RowState::done && state != RowState::failed) {
        ++unfinished_;
        continue;
      }
      if (choice_.only == "done" && state != RowState::done) continue;
      if (choice_.only == "failed" && state != RowState::failed) continue;
      if (choice_.best > 0 && state != RowState::done) continue;
      found.rows.push_back(next_);
    }
    if (choice_.best > 0) keep_best(found.rows);
  }
  if (found.rows.empty()) return std::nullopt;
  return found;
}

/// The likeliest first; of equal ones that with the lower number.
void RowWalk::keep_best(std::vector<RowId>& rows) const {
  std::vector<std::pair<double, RowId>> judged;
  judged.reserve(rows.size());
  for (const RowId row : rows) {
    const StoredRow stored = records_.result().read_row(row);
    judged.emplace_back(records_.judged(stored, choice_.by == "mean-logprob").value_or(0), row);
  }
  const std::size_t kept = std::min<std::size_t>(judged.size(), choice_.best);
  std::partial_sort(judged.begin(), judged.begin() + static_cast<std::ptrdiff_t>(kept),
                    judged.end(), [](const auto& left, const auto& right) {
                      if (left.first != right.first) return left.first > right.first;
                      return left.second < right.second;
                    });
  rows.clear();
  for (std::size_t i = 0; i < kept; ++i) rows.push_back(judged[i].second);
}

}  // namespace gridmill::cli
