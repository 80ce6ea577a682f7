#include "gridmill/job/job_watch.hpp"

#include <unistd.h>

#include <cstdio>
#include <utility>

#include "gridmill/grid/collectives.hpp"
#include "job/emergency_exit.hpp"

namespace gridmill {

namespace {

job_detail::EmergencyExitOptions exit_of_the_process(int rank) {
  job_detail::EmergencyExitOptions options;
  options.rank = rank;
  options.say = [](const std::string& line) { std::fputs(line.c_str(), stderr); };
  // The main thread may be anywhere: nothing of it may be destroyed.
  options.exit = [](ExitCode code) {
    std::fflush(nullptr);
    ::_exit(static_cast<int>(code));
  };
  return options;
}

}  // namespace

JobWatch::JobWatch(const Grid& grid, std::optional<std::chrono::milliseconds> time_limit)
    : deadline_(time_limit ? std::optional(SteadyClock::now() + *time_limit) : std::nullopt) {
  agree_on(grid.world(), [&] {
    exit_ = std::make_unique<job_detail::EmergencyExit>(exit_of_the_process(grid.world().rank()));
  });
  channel_ = std::make_unique<SideChannel>(grid, SideChannelOptions{.on_tick = [this] {
                                             if (ready_) tick();
                                           }});
  ready_ = true;
}

JobWatch::~JobWatch() = default;

JobWatch::Armed::Armed(JobWatch& watch, LastWords words) : watch_(watch) {
  watch_.exit_->arm(std::move(words));
}

JobWatch::Armed::~Armed() { watch_.exit_->arm({}); }

void JobWatch::tick() {
  if (const int stops = signals::stop_requests(); stops > 0) {
    channel_->raise(stops > 1 ? Alarm::at_once : Alarm::stop);
  }
  const SteadyClock::time_point now = SteadyClock::now();
  if (deadline_ && now > *deadline_) channel_->raise(Alarm::stop);
  exit_->look({.alarm = channel_->alarm(),
               .lost = channel_->lost(),
               .commit_requested = signals::take_commit_request(),
               .now = now});
}

}  // namespace gridmill
