#include "gridmill/job/progress.hpp"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "gridmill/base/format.hpp"
#include "gridmill/base/json.hpp"

namespace gridmill {

std::string human_duration(double seconds) {
  const auto whole = static_cast<std::uint64_t>(std::llround(std::max(0.0, seconds)));
  if (whole < 60) return fmt::format("{}s", whole);
  if (whole < 3600) return fmt::format("{}m{:02}s", whole / 60, whole % 60);
  return fmt::format("{}h{:02}m", whole / 3600, whole % 3600 / 60);
}

ProgressReporter::ProgressReporter(const std::string& mode, std::uint64_t rows_total,
                                   std::uint64_t rows_finished, std::uint64_t restarts)
    : rows_total_(rows_total), rows_finished_(rows_finished), restarts_(restarts) {
  const bool animate = ::isatty(STDERR_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr;
  if (mode == "bar" || mode == "auto") mode_ = animate ? Mode::bar : Mode::plain;
  if (mode == "plain") mode_ = Mode::plain;
  if (mode == "json") mode_ = Mode::json;
}

void ProgressReporter::update(const ProgressCounts& counts) {
  const double interval_s = mode_ == Mode::bar ? 0.5 : 10.0;
  if (mode_ == Mode::none || seconds_since(last_write_) < interval_s) return;
  remaining_.add(seconds_since(start_), counts.rows_done + counts.rows_failed);
  write(counts, false);
}

void ProgressReporter::finish(const ProgressCounts& counts) {
  if (mode_ == Mode::none) return;
  remaining_.add(seconds_since(start_), counts.rows_done + counts.rows_failed);
  write(counts, true);
}

namespace {

std::string eta_text(const std::optional<RemainingTime::Range>& range) {
  if (!range) return "unknown";
  const std::string low = human_duration(range->low_s);
  const std::string high = human_duration(range->high_s);
  return low == high ? low : fmt::format("{} to {}", low, high);
}

}  // namespace

void ProgressReporter::write(const ProgressCounts& counts, bool last) {
  last_write_ = SteadyClock::now();
  const double elapsed_s = std::max(seconds_since(start_), 1e-3);
  const std::uint64_t now_done = counts.rows_done + counts.rows_failed;
  const std::uint64_t done = std::min(rows_total_, rows_finished_ + now_done);
  const double prompt_rate = static_cast<double>(counts.prompt_tokens) / elapsed_s;
  const double shared_rate = static_cast<double>(counts.shared_prompt_tokens) / elapsed_s;
  const double new_rate = static_cast<double>(counts.new_tokens) / elapsed_s;
  const double eta_s = now_done == 0 ? -1.0
                                     : static_cast<double>(rows_total_ - done) * elapsed_s /
                                           static_cast<double>(now_done);
  const std::optional<RemainingTime::Range> range = remaining_.of(rows_total_ - done);
  std::string line;
  if (mode_ == Mode::json) {
    const OrderedJson record = {{"rows_done", done},
                                {"rows_total", rows_total_},
                                {"rows_failed", counts.rows_failed},
                                {"prompt_tokens_per_s", prompt_rate},
                                {"shared_prompt_tokens_per_s", shared_rate},
                                {"new_tokens_per_s", new_rate},
                                {"elapsed_s", elapsed_s},
                                {"eta_s", eta_s < 0 ? OrderedJson(nullptr) : OrderedJson(eta_s)},
                                {"eta_low_s", range ? OrderedJson(range->low_s) : OrderedJson()},
                                {"eta_high_s", range ? OrderedJson(range->high_s) : OrderedJson()},
                                {"restarts", restarts_},
                                {"final", last}};
    line = record.dump() + "\n";
  } else {
    const std::string shared =
        counts.shared_prompt_tokens == 0 ? "" : fmt::format(" ({:.0f} shared)", shared_rate);
    line = fmt::format("{}/{} rows, {:.0f} prompt{} + {:.0f} new tokens/s, {} elapsed, ETA {}",
                       done, rows_total_, prompt_rate, shared, new_rate, human_duration(elapsed_s),
                       eta_text(range));
    if (counts.rows_failed > 0) line += fmt::format(", {} failed", counts.rows_failed);
    if (restarts_ > 0) line += fmt::format(", {} restart{}", restarts_, restarts_ == 1 ? "" : "s");
    if (mode_ == Mode::bar) {
      constexpr std::uint64_t kWidth = 24;
      const std::uint64_t filled = rows_total_ == 0 ? kWidth : done * kWidth / rows_total_;
      line = fmt::format("\r[{:<{}}] {}\x1b[K{}", std::string(filled, '#'), kWidth, line,
                         last ? "\n" : "");
    } else {
      line += "\n";
    }
  }
  std::fputs(line.c_str(), stderr);
}

}  // namespace gridmill
