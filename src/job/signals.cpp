#include "gridmill/job/signals.hpp"

#include <time.h>  // NOLINT(modernize-deprecated-headers): clock_gettime is POSIX

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <initializer_list>

namespace gridmill::signals {

namespace {

// A signal handler reaches nothing but globals; lock-free atomics are safe in it.
std::atomic<int> g_stop_requests{0};
std::atomic<bool> g_commit_requested{false};
std::atomic<std::int64_t> g_first_stop_ns{0};
std::atomic<int> g_last_stop{0};
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free &&
              std::atomic<std::int64_t>::is_always_lock_free);

/// mpirun, srun and slurmd hand one request on in several ways, within this time.
constexpr std::int64_t kSameRequest_ns = 1'000'000'000;

extern "C" void on_stop(int signal) {
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
  g_last_stop.store(signal);
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
}

void restore() {
  for (const int signal : {SIGTERM, SIGUSR1, SIGINT, SIGCONT}) handle(signal, SIG_DFL);
  if (stop_requests() > 0) static_cast<void>(std::raise(g_last_stop.load()));
}

int stop_requests() { return g_stop_requests.load(std::memory_order_relaxed); }

bool take_commit_request() { return g_commit_requested.exchange(false, std::memory_order_relaxed); }

}  // namespace gridmill::signals
