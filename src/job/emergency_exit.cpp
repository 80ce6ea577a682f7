#include "job/emergency_exit.hpp"

#include <exception>
#include <utility>

#include "gridmill/base/error_in_flight.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/log.hpp"
#include "gridmill/base/thread.hpp"

namespace gridmill::job_detail {

EmergencyExit::EmergencyExit(EmergencyExitOptions options) : options_(std::move(options)) {
  const WithoutSignals inherited_by_the_thread;
  thread_ = start_thread("the last commit", [this](const std::stop_token& stop) { run(stop); });
}

void EmergencyExit::arm(LastWords words) {
  const std::lock_guard lock(words_mutex_);
  words_ = std::move(words);
}

void EmergencyExit::look(const WatchFindings& findings) {
  if (findings.commit_requested) {
    {
      const std::lock_guard lock(mutex_);
      commit_requested_ = true;
    }
    requested_.notify_one();
  }
  // An alarm is acted on at the next look: neighbours have been told by then.
  if (std::exchange(last_alarm_, findings.alarm) != findings.alarm) return;
  switch (findings.alarm) {
    case Alarm::none:
      return;
    case Alarm::stop:
      if (!stop_known_) stop_known_ = findings.now;
      if (findings.now - *stop_known_ < options_.patience) return;
      return request_exit(ExitCode::stopped_early, "stopped in the middle of a long step", false);
    case Alarm::at_once:
      return request_exit(ExitCode::stopped_early, "stopped at once by a second signal", false);
    case Alarm::lost:
      return request_exit(ExitCode::system,
                          fmt::format("{} is gone or cut off",
                                      findings.lost.empty() ? "a host or a rank" : findings.lost),
                          !findings.lost.empty());
  }
}

void EmergencyExit::request_exit(ExitCode code, const std::string& reason, bool missed) {
  {
    const std::lock_guard lock(mutex_);
    if (reason_) return;  // the first one is being acted on
    reason_ = Reason{code, reason, missed};
  }
  requested_.notify_one();
}

void EmergencyExit::run(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (requested_.wait(lock, stop, [this] { return commit_requested_ || reason_; })) {
    commit_requested_ = false;
    const std::optional<Reason> reason = reason_;
    lock.unlock();
    {
      const std::lock_guard speaking(words_mutex_);
      if (reason) return leave(*reason);
      static_cast<void>(commit());
    }
    lock.lock();
  }
}

std::optional<Error> EmergencyExit::commit() {
  try {
    if (words_.commit) words_.commit();
    return std::nullopt;
  } catch (...) {
    Error error = error_in_flight();
    log::each_rank(log::Level::warn, "the last commit failed: {}", error.what());
    return error;
  }
}

void EmergencyExit::leave(const Reason& reason) {
  const std::optional<Error> failure = commit();
  const std::string outcome =
      failure ? fmt::format(
                    "the last commit failed ({}): rows finished since the one before are "
                    "generated again",
                    failure->what())
              : "finished rows are committed";
  const std::string text = fmt::format("{}; {}, run the same command again", reason.text, outcome);
  // A stop promises that finished rows are safe; where they are not, the reason counts.
  const bool broken_promise = failure && reason.code == ExitCode::stopped_early;
  const Error why(broken_promise ? failure->code() : reason.code, text);
  // One line for the job: from rank 0, or from the ranks that know the cause.
  if (options_.rank == 0 || reason.missed || failure) {
    const bool error = why.code() != ExitCode::stopped_early;
    options_.say(fmt::format("gridmill: {}{}\n", error ? "error: " : "", why.what()));
  }
  try {
    // The run log belongs to another run if the commit found that out.
    const bool taken_over = failure && failure->code() == ExitCode::output_refused;
    if (!taken_over && words_.farewell) words_.farewell(why);
  } catch (const std::exception& error) {
    log::each_rank(log::Level::warn, "the run log is not complete: {}", error.what());
  }
  std::this_thread::sleep_for(options_.others_commit);
  options_.exit(why.code());
}

}  // namespace gridmill::job_detail
