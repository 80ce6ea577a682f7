#include "kernels/cpu/thread_pool.hpp"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <cstddef>

#include "gridmill/base/log.hpp"
#include "gridmill/base/thread.hpp"

namespace gridmill::cpu {

namespace {

/// About 20 microseconds of pauses: longer than the gap between two operations of a layer, shorter
/// than a scheduler's time slice.
constexpr int kSpins = 1000;

std::vector<int> allowed_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cores;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return cores;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &set)) cores.push_back(core);
  }
  return cores;
}

void pin(std::jthread& thread, int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  if (pthread_setaffinity_np(thread.native_handle(), sizeof set, &set) != 0) {
    log::debug("cannot pin a thread to core {}", core);
  }
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  const std::vector<int> cores = allowed_cores();
  const auto core_count = static_cast<int>(cores.size());
  spins_ = core_count >= threads ? kSpins : 0;
  const bool bound = core_count < sysconf(_SC_NPROCESSORS_ONLN);
  try {
    for (int index = 1; index < threads; ++index) {
      threads_.push_back(start_thread("the CPU kernels", [this, index] { serve(index); }));
      if (bound && core_count >= threads) {
        pin(threads_.back(), cores[static_cast<std::size_t>(index)]);
      }
    }
  } catch (...) {
    end();  // those that were made; else they would be waited for
    throw;
  }
}

ThreadPool::~ThreadPool() { end(); }

void ThreadPool::end() {
  stopping_.store(true, std::memory_order_relaxed);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  threads_.clear();  // joins
}

void ThreadPool::wait_for_change(const std::atomic<std::uint32_t>& word, std::uint32_t seen) const {
  for (int spin = 0; spin < spins_; ++spin) {
    if (word.load(std::memory_order_acquire) != seen) return;
    __builtin_ia32_pause();
  }
  word.wait(seen, std::memory_order_acquire);
}

void ThreadPool::run_erased(int parts, Function function, const void* task) {
  if (parts <= 1 || threads_.empty()) {
    for (int part = 0; part < parts; ++part) function(task, part);
    return;
  }
  function_ = function;
  task_ = task;
  parts_ = parts;
  unfinished_.store(static_cast<std::uint32_t>(threads_.size()), std::memory_order_relaxed);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  function(task, 0);
  for (;;) {
    const std::uint32_t left = unfinished_.load(std::memory_order_acquire);
    if (left == 0) return;
    wait_for_change(unfinished_, left);
  }
}

void ThreadPool::serve(int index) {
  std::uint32_t seen = 0;
  for (;;) {
    wait_for_change(epoch_, seen);
    // Exactly one step: the next job starts only after this thread has reported.
    ++seen;
    if (stopping_.load(std::memory_order_relaxed)) return;
    if (index < parts_) function_(task_, index);
    if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1) unfinished_.notify_all();
  }
}

}  // namespace gridmill::cpu
