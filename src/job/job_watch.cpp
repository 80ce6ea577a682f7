#include "gridmill/job/job_watch.hpp"

#include <unistd.h>

#include <cstdio>
#include <exception>
#include <string>
#include <thread>
#include <utility>

#include "gridmill/base/format.hpp"
#include "gridmill/base/log.hpp"
#include "gridmill/job/signals.hpp"

namespace gridmill {

namespace {

/// A launcher kills the others when the first process leaves: they shall have committed by then.
constexpr std::chrono::milliseconds kOthersCommit{500};

}  // namespace

JobWatch::JobWatch(const Grid& grid, std::optional<std::chrono::milliseconds> time_limit)
    : rank_(grid.world().rank()),
      deadline_(time_limit ? std::optional(SteadyClock::now() + *time_limit) : std::nullopt),
      channel_(std::make_unique<SideChannel>(grid, SideChannelOptions{.on_tick = [this] {
                                               if (ready_) tick();
                                             }})) {
  ready_ = true;
}

JobWatch::~JobWatch() = default;

JobWatch::Armed::Armed(JobWatch& watch, LastWords words) : watch_(watch) {
  const std::lock_guard lock(watch_.mutex_);
  watch_.words_ = std::move(words);
}

JobWatch::Armed::~Armed() {
  const std::lock_guard lock(watch_.mutex_);
  watch_.words_ = {};
}

void JobWatch::tick() {
  const std::lock_guard lock(mutex_);
  if (const int stops = signals::stop_requests(); stops > 0) {
    channel_->raise(stops > 1 ? Alarm::at_once : Alarm::stop);
  }
  const SteadyClock::time_point now = SteadyClock::now();
  if (deadline_ && now > *deadline_) channel_->raise(Alarm::stop);
  if (signals::take_commit_request()) static_cast<void>(commit());
  // An alarm is acted on a tick later: neighbours have been told by then.
  const Alarm alarm = channel_->alarm();
  if (std::exchange(last_alarm_, alarm) != alarm) return;
  switch (alarm) {
    case Alarm::none:
      return;
    case Alarm::stop:
      if (!stop_known_) stop_known_ = now;
      if (now - *stop_known_ < kPatience) return;
      leave(Error(ExitCode::stopped_early,
                  "stopped in the middle of a long step; finished rows are committed, run the same "
                  "command again"));
    case Alarm::at_once:
      leave(Error(ExitCode::stopped_early,
                  "stopped at once by a second signal; finished rows are committed, run the same "
                  "command again"));
    case Alarm::lost:
      const std::string& lost = channel_->lost();
      leave(SystemError(
          fmt::format("{} is gone or cut off; finished rows are safe, run the same command again",
                      lost.empty() ? "a host or a rank" : lost)));
  }
}

bool JobWatch::commit() {
  try {
    if (words_.commit) words_.commit();
    return true;
  } catch (const std::exception& error) {
    log::each_rank(log::Level::warn, "the last commit failed: {}", error.what());
    return false;
  }
}

void JobWatch::leave(const Error& why) {
  const bool committed = commit();
  // One line for the job: of rank 0, or of those who miss somebody.
  if (rank_ == 0 || !channel_->lost().empty()) {
    const bool error = why.code() != ExitCode::stopped_early;
    const std::string line = fmt::format("gridmill: {}{}\n", error ? "error: " : "", why.what());
    std::fputs(line.c_str(), stderr);
  }
  try {
    if (committed && words_.farewell) words_.farewell(why);
  } catch (const std::exception& error) {
    log::each_rank(log::Level::warn, "the run log is not complete: {}", error.what());
  }
  std::fflush(nullptr);
  std::this_thread::sleep_for(kOthersCommit);
  // The main thread may be anywhere: nothing of it may be destroyed.
  ::_exit(static_cast<int>(why.code()));
}

}  // namespace gridmill
