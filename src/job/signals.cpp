#include "gridmill/job/signals.hpp"

#include <atomic>
#include <csignal>

namespace gridmill::signals {

namespace {

// A signal handler reaches nothing but globals; lock-free atomics are safe in it.
std::atomic<int> g_stop_requests{0};
std::atomic<bool> g_commit_requested{false};
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

extern "C" void on_stop(int /*signal*/) { g_stop_requests.fetch_add(1, std::memory_order_relaxed); }
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

int stop_requests() { return g_stop_requests.load(std::memory_order_relaxed); }

bool take_commit_request() { return g_commit_requested.exchange(false, std::memory_order_relaxed); }

}  // namespace gridmill::signals
