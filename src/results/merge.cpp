#include "gridmill/results/merge.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <utility>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/log.hpp"
#include "gridmill/base/row_record.hpp"
#include "gridmill/results/recovery.hpp"
#include "row_slots_detail.hpp"
#include "zeros_detail.hpp"

namespace gridmill {

namespace {

using detail::row_slots;
using detail::RowSlot;

/// Rows that are judged together: enough for several threads, and their states are small.
constexpr std::uint64_t kBlockRows = 16384;

/// The first dataset in which a row of two files of one shape differs.
std::optional<std::string> differing_dataset(const RowFile& a, const ResultLayout& layout_a,
                                             const RowFile& b, const ResultLayout& layout_b,
                                             RowId row) {
  const std::vector<RowSlot> slots_a = row_slots(layout_a);
  const std::vector<RowSlot> slots_b = row_slots(layout_b);
  std::array<std::byte, 16384> piece_a;
  std::array<std::byte, 16384> piece_b;
  for (std::size_t i = 0; i < slots_a.size(); ++i) {
    const std::uint64_t size = slots_a[i].row_bytes;
    for (std::uint64_t at = 0; at < size; at += piece_a.size()) {
      const auto bytes =
          static_cast<std::size_t>(std::min<std::uint64_t>(piece_a.size(), size - at));
      const auto there = std::span(piece_a).first(bytes);
      const auto here = std::span(piece_b).first(bytes);
      a.read(slots_a[i].offset + row * size + at, there);
      b.read(slots_b[i].offset + row * size + at, here);
      if (!std::equal(there.begin(), there.end(), here.begin())) return slots_a[i].dataset;
    }
  }
  return std::nullopt;
}

std::string described(const ResultShape& shape) {
  return fmt::format("{} rows of {} tokens, logprobs {}, top {}, valid {}, logits {}, format {}",
                     shape.rows, shape.max_length, shape.logprobs, shape.top, shape.valid,
                     shape.vocab, shape.version);
}

}  // namespace

ResultMerge::ResultMerge(const std::string& path, const ResultFile& first)
    : first_path_(first.path()),
      identity_(first.job()),
      temporary_(
          ResultFile::prepare(path, first.job(), first.layout().shape, first.creator_version())),
      file_(open_row_file(temporary_.path(), true)),
      layout_(ResultFile::open(temporary_.path()).layout()),
      done_(layout_.shape.rows),
      failed_(layout_.shape.rows) {}

void ResultMerge::require_same_job(const ResultFile& part) const {
  std::vector<FieldDifference> fields = differences_of(identity_, part.job());
  if (!fields.empty()) {
    // Other fields follow from these two.
    std::stable_partition(fields.begin(), fields.end(), [](const FieldDifference& field) {
      return field.name == "model" || field.name == "prompts";
    });
    std::string others;
    for (std::size_t i = 1; i < fields.size(); ++i) {
      others += fmt::format("{}{}", i == 1 ? "; also different: " : ", ", fields[i].name);
    }
    const FieldDifference& first = fields.front();
    throw FormatError(fmt::format(
        "{} and {} are no parts of one job: {} is {} in {} and {} in {}{}", first_path_,
        part.path(), first.name, first.there, first_path_, first.here, part.path(), others));
  }
  if (part.layout().shape == layout_.shape) return;
  throw FormatError(fmt::format("{} and {} are no parts of one job: {} in {}, {} in {}",
                                first_path_, part.path(), described(layout_.shape), first_path_,
                                described(part.layout().shape), part.path()));
}

void ResultMerge::add(const ResultFile& part, int threads) {
  require_same_job(part);
  const std::uint64_t damaged_before = counts_.damaged;
  for (RowId first = 0; first < rows(); first += kBlockRows) {
    const std::uint64_t count = std::min(kBlockRows, rows() - first);
    // A part holds a range: all else has no records.
    const std::uint64_t data = part.rows().next_data(part.layout().record_at(first));
    if (data >= part.layout().record_at(first + count)) continue;
    take_block(part, first, count, threads);
  }
  added_.push_back(part.path());
  if (counts_.damaged > damaged_before) {
    log::warn("{} damaged rows in {} were left out; its generate command makes them again",
              counts_.damaged - damaged_before, part.path());
  }
}

void ResultMerge::take_block(const ResultFile& part, RowId first, std::uint64_t count,
                             int threads) {
  const std::vector<RowState> states =
      scan_rows(part.rows(), part.layout(), first, count, {.threads = threads, .payload = true});
  std::uint64_t run = 0;  // rows to be copied that end at `row`
  for (std::uint64_t i = 0; i <= count; ++i) {
    const RowId row = first + i;
    bool taken = false;
    if (i < count && states[i] == RowState::done) {
      if (done_[row]) {
        require_same_row(part, row);
        ++counts_.repeated;
      } else {
        if (failed_[row]) clear_row(row);
        done_[row] = true;
        ++counts_.done;
        taken = true;
      }
    } else if (i < count && states[i] == RowState::failed && !done_[row] && !failed_[row]) {
      failed_[row] = true;
      ++counts_.failed;
      taken = true;
    } else if (i < count && states[i] == RowState::damaged) {
      ++counts_.damaged;
    }
    if (taken) {
      ++run;
    } else if (run > 0) {
      copy_rows(part, row - run, run);
      run = 0;
    }
  }
}

void ResultMerge::copy_rows(const ResultFile& part, RowId first, std::uint64_t count) {
  const std::vector<RowSlot> from = row_slots(part.layout());
  const std::vector<RowSlot> to = row_slots(layout_);
  for (std::size_t i = 0; i < from.size(); ++i) {
    const std::uint64_t begin = from[i].offset + first * from[i].row_bytes;
    const std::uint64_t target = to[i].offset + first * to[i].row_bytes;
    detail::visit_nonzero(part.rows(), begin, count * from[i].row_bytes,
                          [&](std::uint64_t at, std::span<const std::byte> piece) {
                            file_->write(target + (at - begin), piece);
                            return true;
                          });
  }
}

void ResultMerge::clear_row(RowId row) {
  for (const RowSlot& slot : row_slots(layout_)) {
    detail::write_zeros(*file_, slot.offset + row * slot.row_bytes, slot.row_bytes);
  }
  failed_[row] = false;
  --counts_.failed;
}

void ResultMerge::require_same_row(const ResultFile& part, RowId row) const {
  const auto dataset = differing_dataset(*file_, layout_, part.rows(), part.layout(), row);
  if (!dataset) return;
  std::string other = first_path_;
  for (const std::string& path : added_) {
    const ResultFile before = ResultFile::open(path, ResultFile::Origin::anywhere);
    const RowRecord record = read_records(before.rows(), before.layout(), row, 1).front();
    if (record.status != static_cast<std::uint16_t>(RowStatus::done)) continue;
    other = path;
    break;
  }
  throw FormatError(fmt::format(
      "row {} is done in {} and in {} with different bytes in {}: one of them is not what its job "
      "makes; gridmill verify tells which",
      row, other, part.path(), *dataset));
}

std::vector<PromptRange> ResultMerge::missing_prompts() const {
  std::vector<PromptRange> ranges;
  for (RowId row = 0; row < rows(); ++row) {
    if (done_[row] || failed_[row]) continue;
    const std::uint64_t prompt = row / layout_.shape.samples_per_prompt;
    if (!ranges.empty() && ranges.back().first + ranges.back().count > prompt) continue;
    if (!ranges.empty() && ranges.back().first + ranges.back().count == prompt) {
      ++ranges.back().count;
    } else {
      ranges.push_back({prompt, 1});
    }
  }
  return ranges;
}

}  // namespace gridmill
