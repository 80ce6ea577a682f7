#include "gridmill/job/signals.hpp"

#include <signal.h>  // NOLINT(modernize-deprecated-headers): sigaction is POSIX
#include <time.h>    // NOLINT(modernize-deprecated-headers): clock_gettime is POSIX
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "gridmill/base/error.hpp"

namespace gridmill::signals {

namespace {

// A signal handler reaches nothing but globals; lock-free atomics are safe in it.
std::atomic<bool> g_attended{false};
std::atomic<int> g_stop_requests{0};
std::atomic<bool> g_commit_requested{false};
std::atomic<std::int64_t> g_first_stop_ns{0};
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free &&
              std::atomic<std::int64_t>::is_always_lock_free);

/// mpirun, srun and slurmd may deliver one request as several signals, within this time.
constexpr std::int64_t kSameRequest_ns = 1'000'000'000;

/// Calls only what a signal handler may call.
[[noreturn]] void leave_at_once() {
  constexpr std::string_view kLine = "gridmill: stopped by a signal; run the same command again\n";
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, kLine.data(), kLine.size());
  ::_exit(static_cast<int>(ExitCode::stopped_early));
}

extern "C" void on_stop(int /*signal*/) {
  if (!g_attended.load(std::memory_order_relaxed)) leave_at_once();
  const int error = errno;
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  const std::int64_t now_ns = std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
  std::int64_t first_ns = 0;
  if (g_first_stop_ns.compare_exchange_strong(first_ns, now_ns)) {
    g_stop_requests.store(1);
  } else if (now_ns - first_ns >= kSameRequest_ns) {
    g_stop_requests.fetch_add(1);
  }
  errno = error;
}
extern "C" void on_continue(int /*signal*/) {
  g_commit_requested.store(true, std::memory_order_relaxed);
}

void handle(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;  // system calls of MPI and HDF5 go on undisturbed
  sigemptyset(&action.sa_mask);
  sigaction(signal, &action, nullptr);
}

}  // namespace

void install() {
  handle(SIGTERM, on_stop);
  handle(SIGUSR1, on_stop);
  handle(SIGINT, on_stop);
  handle(SIGCONT, on_continue);
  // A write beyond `ulimit -f` then fails as one on a full disk does, with a message.
  handle(SIGXFSZ, SIG_IGN);
}

void restore() {
  for (const int signal : {SIGTERM, SIGUSR1, SIGINT, SIGCONT}) handle(signal, SIG_DFL);
}

Attended::Attended() { g_attended = true; }
Attended::~Attended() { g_attended = false; }

int stop_requests() { return g_stop_requests.load(std::memory_order_relaxed); }

bool take_commit_request() { return g_commit_requested.exchange(false, std::memory_order_relaxed); }

}  // namespace gridmill::signals
