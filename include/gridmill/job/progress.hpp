#pragma once

#include <cstdint>
#include <string>

#include "gridmill/base/clock.hpp"
#include "gridmill/job/remaining_time.hpp"

namespace gridmill {

/// Counters of a run; sums over ranks are sums of these.
struct ProgressCounts {
  std::uint64_t rows_done = 0;  ///< by this run
  std::uint64_t rows_failed = 0;
  std::uint64_t prompt_tokens = 0;         ///< computed
  std::uint64_t shared_prompt_tokens = 0;  ///< not computed: another row had them
  std::uint64_t new_tokens = 0;

  ProgressCounts& operator+=(const ProgressCounts& other) {
    rows_done += other.rows_done;
    rows_failed += other.rows_failed;
    prompt_tokens += other.prompt_tokens;
    shared_prompt_tokens += other.shared_prompt_tokens;
    new_tokens += other.new_tokens;
    return *this;
  }
};

/// Tells the user how far a job is, on stderr. Used on rank 0 only.
class ProgressReporter {
 public:
  /// @param mode           auto, bar, plain, json, none; auto = bar on a terminal without NO_COLOR,
  /// else plain.
  /// @param rows_total     rows of the job.
  /// @param rows_finished  rows that earlier runs have finished.
  /// @param restarts       runs before this one.
  ProgressReporter(const std::string& mode, std::uint64_t rows_total, std::uint64_t rows_finished,
                   std::uint64_t restarts = 0);
  /// Writes if it is time to: every 10 s, a bar twice a second.
  void update(const ProgressCounts& counts);
  /// Writes the last state.
  void finish(const ProgressCounts& counts);

 private:
  enum class Mode { bar, plain, json, none };
  void write(const ProgressCounts& counts, bool last);

  Mode mode_ = Mode::none;
  std::uint64_t rows_total_;
  std::uint64_t rows_finished_;
  std::uint64_t restarts_;
  RemainingTime remaining_;
  SteadyClock::time_point start_ = SteadyClock::now();
  SteadyClock::time_point last_write_ = SteadyClock::now();
};

/// "12s", "3m05s", "2h10m".
[[nodiscard]] std::string human_duration(double seconds);

}  // namespace gridmill
