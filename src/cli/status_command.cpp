#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cli/command.hpp"
#include "gridmill/base/clock.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/base/printable.hpp"
#include "gridmill/job/job_part.hpp"
#include "gridmill/job/progress.hpp"
#include "gridmill/job/remaining_time.hpp"
#include "gridmill/results/recovery.hpp"
#include "gridmill/results/result_file.hpp"
#include "gridmill/results/run_log.hpp"

namespace gridmill::cli {

namespace {

/// Rows that a file is to hold in the end: all, or those of the part that its last run did.
struct Wanted {
  RowRange range;
  std::optional<JobPart> part;
};

Wanted wanted_rows(const std::string& path, const ResultLayout& layout) {
  Wanted wanted{.range = {.first = 0, .count = layout.shape.rows}, .part = std::nullopt};
  const std::optional<Json> run = last_run(path);
  if (!run || !run->contains("part") || !(*run)["part"].is_string()) return wanted;
  try {
    wanted.part = job_part_from_text((*run)["part"].get<std::string>());
  } catch (const UsageError&) {  // not from gridmill: the file counts as a whole
    return wanted;
  }
  wanted.range = rows_of_part(*wanted.part, layout.shape.rows, layout.shape.samples_per_prompt);
  return wanted;
}

struct ResultSummary {
  std::uint64_t rows = 0;
  std::array<std::uint64_t, 5> states{};   ///< by RowState
  std::array<std::uint64_t, 5> reasons{};  ///< of done rows, by FinishReason
  std::uint64_t prompt_tokens = 0;         ///< of done rows
  std::uint64_t new_tokens = 0;
  std::uint64_t partial_tokens = 0;  ///< generated ones of partial rows

  [[nodiscard]] std::uint64_t of(RowState state) const {
    return states[static_cast<std::size_t>(state)];
  }
  [[nodiscard]] std::uint64_t finished() const { return of(RowState::done) + of(RowState::failed); }
  [[nodiscard]] std::uint64_t left() const { return rows - finished(); }
};

/// Failed rows, and which of them came last: the file does not say, so they are looked at again and
/// again.
struct FailedRows {
  std::vector<bool> known;
  std::optional<RowId> newest;
};

/// @param failed  is brought up to date, unless null.
ResultSummary summarize(const ResultFile& file, const RowRange& range, FailedRows* failed) {
  ResultSummary summary{.rows = range.count};
  constexpr std::uint64_t kChunk = 65536;
  const std::uint64_t end = range.first + range.count;
  for (RowId first = range.first; first < end; first += kChunk) {
    const std::uint64_t count = std::min(kChunk, end - first);
    const auto states = scan_rows(file.rows(), file.layout(), first, count, {.payload = false});
    const auto records = read_records(file.rows(), file.layout(), first, count);
    for (std::uint64_t i = 0; i < count; ++i) {
      ++summary.states[static_cast<std::size_t>(states[i])];
      if (states[i] == RowState::partial) {
        summary.partial_tokens += records[i].length - records[i].prefix_length;
      }
      if (failed != nullptr && states[i] == RowState::failed && !failed->known[first + i]) {
        failed->known[first + i] = true;
        failed->newest = first + i;
      }
      if (states[i] != RowState::done) continue;
      ++summary.reasons[std::min<std::size_t>(records[i].finish_reason, 4)];
      summary.prompt_tokens += records[i].prefix_length;
      summary.new_tokens += records[i].length - records[i].prefix_length;
    }
  }
  return summary;
}

std::string json_line(const ResultSummary& summary, const Wanted& wanted) {
  OrderedJson record = {{"rows", summary.rows},
                        {"done", summary.of(RowState::done)},
                        {"failed", summary.of(RowState::failed)},
                        {"partial", summary.of(RowState::partial)},
                        {"damaged", summary.of(RowState::damaged)},
                        {"left", summary.left()},
                        {"prompt_tokens", summary.prompt_tokens},
                        {"new_tokens", summary.new_tokens},
                        {"partial_tokens", summary.partial_tokens},
                        {"finish_reasons",
                         {{"eod", summary.reasons[1]},
                          {"stop", summary.reasons[2]},
                          {"length", summary.reasons[3]}}}};
  if (wanted.part) {
    record["part"] = to_text(*wanted.part);
    record["first_row"] = wanted.range.first;
  }
  return record.dump() + "\n";
}

std::string text_line(const std::string& path, const ResultSummary& summary, const Wanted& wanted) {
  const std::uint64_t damaged = summary.of(RowState::damaged);
  return fmt::format(
      "{}: {}{} of {} rows done, {} failed, {} left ({} of them begun{}); {} prompt and {} new "
      "tokens; ended by eod {}, stop {}, length {}\n",
      path, wanted.part ? fmt::format("part {}: ", to_text(*wanted.part)) : "",
      summary.of(RowState::done), summary.rows, summary.of(RowState::failed), summary.left(),
      summary.of(RowState::partial), damaged == 0 ? "" : fmt::format(", {} damaged", damaged),
      summary.prompt_tokens, summary.new_tokens, summary.reasons[1], summary.reasons[2],
      summary.reasons[3]);
}

/// Facts from the run log.
struct Runs {
  std::size_t count = 0;
  bool ended = false;  ///< the last one says how it ended
};

Runs look_at_runs(const std::string& path) {
  constexpr std::size_t kMostRuns = 10'000;
  const std::vector<Json> runs = newest_runs(path, kMostRuns);
  return {.count = runs.size(), .ended = !runs.empty() && runs.back().contains("exit_code")};
}

/// Follows a file that another process writes.
class Watch {
 public:
  Watch(const ResultFile& file, const RowRange& range) : file_(&file), range_(range) {
    failed_.known.resize(file.layout().shape.rows);
  }

  /// Looks at the file and says what is new since the watch began.
  [[nodiscard]] std::string line(const Runs& runs) {
    summary_ = summarize(*file_, range_, &failed_);
    const double elapsed_s = seconds_since(start_);
    if (!first_finished_) first_finished_ = summary_.finished();
    // Rows that a run throws away to retry them are no progress.
    remaining_.add(elapsed_s, std::max(*first_finished_, summary_.finished()) - *first_finished_);
    std::string text = fmt::format("{}/{} rows", summary_.finished(), summary_.rows);
    if (const std::optional<double> rate = tokens_per_s(elapsed_s)) {
      text += fmt::format(", {:.0f} new tokens/s", *rate);
    }
    if (const auto range = remaining_.of(summary_.left()); range && summary_.left() > 0) {
      text += fmt::format(", ETA {} to {}", human_duration(range->low_s),
                          human_duration(range->high_s));
    }
    if (summary_.of(RowState::failed) > 0) {
      text += fmt::format(", {} failed", summary_.of(RowState::failed)) + newest_failure();
    }
    if (runs.count > 1) {
      text += fmt::format(", {} restart{}", runs.count - 1, runs.count == 2 ? "" : "s");
    }
    return text;
  }
  [[nodiscard]] const ResultSummary& summary() const { return summary_; }

 private:
  /// Over the last half minute.
  [[nodiscard]] std::optional<double> tokens_per_s(double elapsed_s) {
    constexpr double kWindow_s = 30;
    const std::uint64_t tokens = summary_.new_tokens + summary_.partial_tokens;
    tokens_.emplace_back(elapsed_s, tokens);
    while (tokens_.size() > 2 && tokens_[1].first < elapsed_s - kWindow_s) tokens_.pop_front();
    const auto& [then_s, before] = tokens_.front();
    if (elapsed_s <= then_s || tokens < before) return std::nullopt;
    return static_cast<double>(tokens - before) / (elapsed_s - then_s);
  }
  [[nodiscard]] std::string newest_failure() const {
    if (!failed_.newest) return "";
    try {
      return fmt::format(" (row {}: {})", *failed_.newest,
                         printable(file_->read_row(*failed_.newest).failure));
    } catch (const FormatError&) {  // it is being generated again
      return "";
    }
  }

  const ResultFile* file_;
  RowRange range_;
  SteadyClock::time_point start_ = SteadyClock::now();
  ResultSummary summary_;
  FailedRows failed_;
  std::optional<std::uint64_t> first_finished_;
  RemainingTime remaining_;
  std::deque<std::pair<double, std::uint64_t>> tokens_;
};

/// Until no row is left, or the last run has ended. A run that was killed leaves no end.
ExitCode watch(const std::string& path, const ResultFile& file, const RowRange& range,
               std::chrono::milliseconds interval) {
  const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  Watch following(file, range);
  for (;;) {
    const SteadyClock::time_point start = SteadyClock::now();
    // The log first: an end that it holds has all its rows in the file.
    const Runs runs = look_at_runs(path);
    const std::string line = following.line(runs);
    const bool complete = following.summary().left() == 0;
    const bool last = complete || runs.ended;
    std::fputs(terminal ? fmt::format("\r{}\x1b[K{}", line, last ? "\n" : "").c_str()
                        : (line + "\n").c_str(),
               stdout);
    if (std::fflush(stdout) != 0) throw IoError("writing to stdout failed");
    if (last) return complete ? ExitCode::ok : ExitCode::stopped_early;
    // Looking takes a tenth of the time at most.
    std::this_thread::sleep_for(std::max(std::chrono::duration<double>(interval),
                                         std::chrono::duration<double>(9 * seconds_since(start))));
  }
}

}  // namespace

ExitCode run_status(const Arguments& arguments, const MpiSession* /*session*/) {
  std::string path;
  bool json = false;
  bool follow = false;
  std::string interval = "2s";
  CommandSyntax syntax{.name = "status",
                       .example = "Example: gridmill status out/stories.h5",
                       .summary =
                           "How far a result file is; safe while a job writes it.\n"
                           "Exit code 0: complete, 75: rows remain. Of a file whose last run had "
                           "--part,\nthe rows of that part count."};
  syntax.arguments.add_options()("file", po::value(&path)->required());
  auto add = syntax.options.add_options();
  add("json", switch_value(&json), "one JSON object");
  add("watch", switch_value(&follow), "follow a job until it ends");
  add("interval", po::value(&interval)->default_value(interval)->value_name("TIME"),
      "how often --watch looks");
  syntax.positional.add("file", 1);
  if (!parse(syntax, arguments)) return ExitCode::ok;
  if (json && follow) throw UsageError("--json and --watch exclude each other");
  const std::chrono::milliseconds every = parse_duration(interval, "--interval");

  const ResultFile file = ResultFile::open(path, ResultFile::Origin::anywhere);
  const Wanted wanted = wanted_rows(path, file.layout());
  if (follow) return watch(path, file, wanted.range, every);
  const ResultSummary summary = summarize(file, wanted.range, nullptr);
  std::fputs((json ? json_line(summary, wanted) : text_line(path, summary, wanted)).c_str(),
             stdout);
  return summary.left() == 0 ? ExitCode::ok : ExitCode::stopped_early;
}

}  // namespace gridmill::cli
