#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>

#include "gridmill/base/clock.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/grid/side_channel.hpp"
#include "gridmill/job/signals.hpp"

namespace gridmill {

namespace job_detail {
class EmergencyExit;
}  // namespace job_detail

/// Steps of a process before it leaves while its main thread is busy. Called by another thread.
struct LastWords {
  /// Makes durable what is finished. @throws Error if it cannot, or may not any more.
  std::function<void()> commit;
  /// Completes the run's record with the reason; after the commit, and not if another run has
  /// taken the output over. Rank 0. @throws Error
  std::function<void(const Error&)> farewell;
};

/// Watches over a job from a thread of its own, on every rank: for signals to any of them, for the
/// time limit, for lost hosts. So none of these waits for the end of a pass, of loading, or of a
/// collective call with a lost rank.
///
/// Commits have a thread of their own, so a slow disk delays no liveness message. A
/// process whose last commit fails says so; after a stop it then leaves with the code of that
/// error.
///
/// * A stop (first signal, time limit): main threads are expected to look at stop_requested() and
///   leave cleanly. A process in which that takes longer than kPatience commits and leaves (75).
/// * A second signal: commits and leaves (75).
/// * A lost host or process: commits and leaves (71), on both sides of the cut.
/// * SIGCONT: commits. (mpirun sends it one second before it kills.)
class JobWatch {
 public:
  /// Long enough for a pass and the last commit, short enough for ten seconds altogether.
  static constexpr std::chrono::milliseconds kPatience{7000};

  /// Collective over grid.world(). Handlers must be installed (signals::install).
  /// @param time_limit  stops the job when so much time has passed from now.
  explicit JobWatch(const Grid& grid, std::optional<std::chrono::milliseconds> time_limit = {});
  JobWatch(const JobWatch&) = delete;
  JobWatch& operator=(const JobWatch&) = delete;
  ~JobWatch();

  /// Whether the job shall stop, whichever rank it was that was asked.
  [[nodiscard]] bool stop_requested() const { return channel_->alarm() >= Alarm::stop; }
  /// As a signal to this rank would.
  void raise(Alarm alarm) { channel_->raise(alarm); }

  /// While alive, an emergency exit first calls `words`. Its destructor waits for one that has
  /// begun.
  class Armed {
   public:
    Armed(JobWatch& watch, LastWords words);
    Armed(const Armed&) = delete;
    Armed& operator=(const Armed&) = delete;
    ~Armed();

   private:
    JobWatch& watch_;
  };

 private:
  void tick();

  signals::Attended attended_;
  std::optional<SteadyClock::time_point> deadline_;
  std::atomic<bool> ready_{false};
  std::unique_ptr<job_detail::EmergencyExit> exit_;
  std::unique_ptr<SideChannel> channel_;
};

}  // namespace gridmill
