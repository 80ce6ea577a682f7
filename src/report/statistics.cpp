#include "report/statistics.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <queue>
#include <span>
#include <utility>

#include "gridmill/base/row_record.hpp"
#include "gridmill/results/recovery.hpp"
#include "gridmill/results/row.hpp"

namespace gridmill::report_detail {

namespace {

constexpr std::uint64_t kRowsAtATime = 16384;
constexpr std::size_t kMostFailureGroups = 100;
constexpr std::size_t kExamples = 3;
/// Samples of one prompt that come into the sample together.
constexpr std::uint32_t kNeighbours = 4;
/// Lengths up to 2^22 tokens are counted one by one (32 MiB a distribution).
constexpr std::uint64_t kMostLengthSteps = std::uint64_t{1} << 22U;
/// Log-probabilities down to -32 in steps of 0.01.
constexpr double kLogprobStep = 0.01;
constexpr std::size_t kLogprobSteps = 3200;

/// splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014): an
/// order of rows that has nothing to do with their contents.
std::uint64_t mixed(std::uint64_t value) {
  value += 0x9E3779B97F4A7C15U;
  value = (value ^ (value >> 30U)) * 0xBF58476D1CE4E5B9U;
  value = (value ^ (value >> 27U)) * 0x94D049BB133111EBU;
  return value ^ (value >> 31U);
}

/// The rows with the smallest keys of those that were offered.
class Reservoir {
 public:
  explicit Reservoir(std::size_t size) : size_(size) {}
  void offer(std::uint64_t key, RowId row) {
    if (size_ == 0) return;
    if (rows_.size() == size_) {
      if (rows_.top() < std::pair(key, row)) return;
      rows_.pop();
    }
    rows_.emplace(key, row);
  }
  /// Smallest key first.
  [[nodiscard]] std::vector<RowId> take() {
    std::vector<RowId> rows;
    for (; !rows_.empty(); rows_.pop()) rows.push_back(rows_.top().second);
    std::reverse(rows.begin(), rows.end());
    return rows;
  }

 private:
  std::size_t size_;
  std::priority_queue<std::pair<std::uint64_t, RowId>> rows_;
};

/// Equal shares; what one stratum does not use goes to the others.
std::vector<RowId> balanced(const std::array<std::vector<RowId>, kStrata>& strata,
                            std::size_t wanted) {
  std::vector<RowId> sample;
  for (std::size_t turn = 0; sample.size() < wanted; ++turn) {
    bool any = false;
    for (const std::vector<RowId>& rows : strata) {
      if (turn >= rows.size() || sample.size() == wanted) continue;
      sample.push_back(rows[turn]);
      any = true;
    }
    if (!any) break;
  }
  std::sort(sample.begin(), sample.end());
  return sample;
}

std::string without_numbers(const std::string& text) {
  std::string out;
  bool in_number = false;
  for (const char c : text) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit) out += c;
    if (digit && !in_number) out += 'N';
    in_number = digit;
  }
  return out;
}

/// Failures by reason, as many reasons as there is room for.
class FailureCounter {
 public:
  void add(RowId row, const std::string& text, Statistics& statistics) {
    const std::string reason = without_numbers(text);
    if (!groups_.contains(reason) && groups_.size() == kMostFailureGroups) {
      ++statistics.other_failures;
      return;
    }
    FailureGroup& group = groups_[reason];
    group.reason = reason;
    if (group.count++ < kExamples) group.examples.push_back({row, text});
  }
  [[nodiscard]] std::vector<FailureGroup> take() {
    std::vector<FailureGroup> groups;
    for (auto& [reason, group] : groups_) groups.push_back(std::move(group));
    std::stable_sort(
        groups.begin(), groups.end(),
        [](const FailureGroup& a, const FailureGroup& b) { return a.count > b.count; });
    return groups;
  }

 private:
  std::map<std::string, FailureGroup> groups_;
};

std::string failure_of(const ResultFile& file, RowId row) {
  std::array<char, kFailureBytes> bytes{};
  file.rows().read(file.layout().failure_at(row), std::as_writable_bytes(std::span(bytes)));
  return {bytes.begin(), std::find(bytes.begin(), bytes.end(), '\0')};
}

Stratum stratum_of(const RowRecord& record, bool failed) {
  if (failed) return Stratum::failed;
  switch (static_cast<FinishReason>(record.finish_reason)) {
    case FinishReason::stop:
      return Stratum::stop;
    case FinishReason::length:
      return Stratum::length;
    default:
      return Stratum::eod;
  }
}

/// A round number (1, 2 or 5 times a power of ten, times `step`) that is not below `width`.
double round_width(double width, double step) {
  double power = step;
  for (;;) {
    for (const double factor : {1.0, 2.0, 5.0}) {
      if (factor * power >= width * (1 - 1e-9)) return factor * power;
    }
    power *= 10;
  }
}

}  // namespace

const char* name_of(Stratum stratum) {
  switch (stratum) {
    case Stratum::eod:
      return "eod";
    case Stratum::stop:
      return "stop";
    case Stratum::length:
      return "length";
    case Stratum::failed:
      return "failed";
  }
  return "unknown";
}

void Distribution::add(double value) {
  const double place = value / step_;
  const std::size_t last = counts_.size() - 1;
  ++counts_[place >= static_cast<double>(last) ? last : static_cast<std::size_t>(place)];
  ++total_;
  sum_ += value;
}

double Distribution::mean() const { return total_ == 0 ? 0.0 : sum_ / static_cast<double>(total_); }

double Distribution::quantile(double share) const {
  if (total_ == 0) return 0;
  const double wanted = share * static_cast<double>(total_);
  std::uint64_t seen = 0;
  std::size_t at = 0;
  for (; at < counts_.size(); ++at) {
    seen += counts_[at];
    if (seen > 0 && static_cast<double>(seen) >= wanted) break;
  }
  return static_cast<double>(std::min(at, counts_.size() - 1)) * step_;
}

std::vector<Distribution::Bin> Distribution::bins(std::size_t most, double share) const {
  if (total_ == 0) return {};
  std::size_t first = 0;
  while (counts_[first] == 0) ++first;
  std::size_t last = counts_.size() - 1;
  while (counts_[last] == 0) --last;
  const auto bound = static_cast<std::size_t>(std::llround(quantile(share) / step_));
  const std::size_t end = std::max(first, std::min(last, bound)) + 1;
  const double width =
      round_width(static_cast<double>(end - first) * step_ / static_cast<double>(most), step_);
  const auto steps = static_cast<std::size_t>(std::llround(width / step_));
  std::vector<Bin> bins;
  for (std::size_t from = first - first % steps; from < end; from += steps) {
    Bin bin{.from = static_cast<double>(from) * step_,
            .to = static_cast<double>(from + steps) * step_,
            .count = 0};
    const bool is_last = from + steps >= end;
    const std::size_t stop = is_last ? counts_.size() : from + steps;
    for (std::size_t at = from; at < stop; ++at) bin.count += counts_[at];
    bins.push_back(bin);
  }
  return bins;
}

Statistics collect_statistics(const ResultFile& file, std::uint32_t sample_rows) {
  const ResultLayout& layout = file.layout();
  const std::uint64_t length_steps =
      std::min<std::uint64_t>(std::uint64_t{layout.shape.max_length} + 1, kMostLengthSteps);
  Statistics statistics{.rows = layout.shape.rows,
                        .prompt_lengths = Distribution(1, length_steps),
                        .new_lengths = Distribution(1, length_steps),
                        .negative_logprobs = Distribution(kLogprobStep, kLogprobSteps),
                        .failures = {},
                        .sample = {}};
  FailureCounter failures;
  std::array<Reservoir, kStrata> reservoirs = {Reservoir(sample_rows), Reservoir(sample_rows),
                                               Reservoir(sample_rows), Reservoir(sample_rows)};
  std::vector<float> logprobs;
  for (RowId first = 0; first < statistics.rows; first += kRowsAtATime) {
    const std::uint64_t count = std::min(kRowsAtATime, statistics.rows - first);
    const std::vector<RowState> states =
        scan_rows(file.rows(), layout, first, count, {.payload = false});
    const std::vector<RowRecord> records = read_records(file.rows(), layout, first, count);
    for (std::uint64_t i = 0; i < count; ++i) {
      const RowId row = first + i;
      const RowRecord& record = records[i];
      if (states[i] == RowState::partial) ++statistics.partial;
      if (states[i] == RowState::damaged) ++statistics.damaged;
      if (states[i] != RowState::done && states[i] != RowState::failed) continue;
      // A job may have written the record between the two reads: the next report has the row.
      if (record.status != static_cast<std::uint16_t>(states[i]) ||
          !is_consistent(layout, row, record)) {
        continue;
      }
      const bool failed = states[i] == RowState::failed;
      const Stratum stratum = stratum_of(record, failed);
      ++statistics.strata[static_cast<std::size_t>(stratum)];
      const std::uint64_t group =
          (std::uint64_t{record.prompt_index} << 32U) | (record.sample_index / kNeighbours);
      reservoirs[static_cast<std::size_t>(stratum)].offer(mixed(group), row);
      if (failed) {
        ++statistics.failed;
        failures.add(row, failure_of(file, row), statistics);
        continue;
      }
      ++statistics.done;
      const std::uint32_t fresh = record.length - record.prefix_length;
      statistics.prompt_tokens += record.prefix_length;
      statistics.new_tokens += fresh;
      statistics.prompt_lengths.add(record.prefix_length);
      statistics.new_lengths.add(fresh);
      if (layout.shape.logprobs == 0 || fresh == 0) continue;
      if (layout.shape.scores != 0) {  // only some of the tokens count
        logprobs = own_logprobs(layout, file.read_row(row));
      } else {
        logprobs.resize(fresh);
        file.rows().read(layout.logprobs_at(row) + record.prefix_length * sizeof(float),
                         std::as_writable_bytes(std::span(logprobs)));
      }
      for (const float logprob : logprobs) {
        if (std::isfinite(logprob)) {
          statistics.negative_logprobs.add(std::max(0.0, -static_cast<double>(logprob)));
        }
      }
    }
  }
  statistics.failures = failures.take();
  std::array<std::vector<RowId>, kStrata> strata;
  for (std::size_t i = 0; i < kStrata; ++i) strata[i] = reservoirs[i].take();
  statistics.sample = balanced(strata, sample_rows);
  return statistics;
}

}  // namespace gridmill::report_detail
