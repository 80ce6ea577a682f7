#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

#include "gridmill/base/clock.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/grid/side_channel.hpp"
#include "gridmill/job/job_watch.hpp"

namespace gridmill::job_detail {

/// Findings of one check of the job.
struct WatchFindings {
  Alarm alarm = Alarm::none;
  /// The neighbour that this rank misses; empty if another rank or no rank misses it.
  std::string lost{};
  bool commit_requested = false;
  SteadyClock::time_point now{};
};

struct EmergencyExitOptions {
  int rank = 0;
  /// How long the main thread may take to leave by itself after a stop.
  std::chrono::milliseconds patience = JobWatch::kPatience;
  /// A launcher kills the others when the first process leaves: they commit in this time.
  std::chrono::milliseconds others_commit{500};
  /// Writes a line for the user.
  std::function<void(const std::string&)> say{};
  /// Ends the process. Where it returns, in a test, nothing else happens any more.
  std::function<void(ExitCode)> exit{};
};

/// Decides when a process leaves although its main thread is busy, commits first, and says what
/// came of that. Commits run on a thread of this object: a slow disk delays no look, so the thread
/// that looks goes on sending signs of life. Knows neither MPI nor signals; JobWatch feeds it.
class EmergencyExit {
 public:
  /// @throws ResourceError if its thread cannot be started.
  explicit EmergencyExit(EmergencyExitOptions options);
  EmergencyExit(const EmergencyExit&) = delete;
  EmergencyExit& operator=(const EmergencyExit&) = delete;
  /// Waits for a commit or an exit that has begun.
  ~EmergencyExit() = default;

  /// Acts on what was found; waits for nothing. From one thread.
  void look(const WatchFindings& findings);
  /// Replaces the last words; waits for a commit or an exit that uses the present ones.
  void arm(LastWords words);

 private:
  void run(const std::stop_token& stop);
  void request_exit(ExitCode code, const std::string& reason, bool missed);
  /// The error of the last commit, if it failed.
  [[nodiscard]] std::optional<Error> commit();
  struct Reason {
    ExitCode code;
    std::string text;
    /// Whether this rank found a neighbour lost, which other ranks cannot report.
    bool missed = false;
  };
  void leave(const Reason& reason);

  EmergencyExitOptions options_;
  // Used by the watching thread only.
  Alarm last_alarm_ = Alarm::none;
  std::optional<SteadyClock::time_point> stop_known_;

  std::mutex words_mutex_;  ///< of words_; held while they are spoken
  LastWords words_;

  std::mutex mutex_;  ///< of what follows; never held over a call of words_
  std::condition_variable_any requested_;
  bool commit_requested_ = false;
  std::optional<Reason> reason_;
  std::jthread thread_;  // last: ends before what it uses
};

}  // namespace gridmill::job_detail
