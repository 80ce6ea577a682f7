#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace gridmill::cpu {

/// Threads that run the parts of one operation at a time. The caller is part 0.
///
/// Between operations a thread spins for a few microseconds, since the next operation usually
/// follows at once, and then sleeps on a futex: ranks that share cores must not burn each other's
/// time. If the process may run on fewer cores than it has threads, nothing spins.
class ThreadPool {
 public:
  /// @param threads  the caller included; >= 1. Threads are pinned, one to a core, if the process
  /// is bound to a set of at least that many cores; an unbound process may share its cores with
  /// others.
  /// @throws ResourceError if the system has no room for so many.
  explicit ThreadPool(int threads);
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool();

  [[nodiscard]] int size() const { return static_cast<int>(threads_.size()) + 1; }

  /// Runs task(part) for every part in [0, parts), parts <= size(), and returns when all have run.
  /// `task` must not throw.
  template <typename Task>
  void run(int parts, const Task& task) {
    run_erased(
        parts, [](const void* erased, int part) { (*static_cast<const Task*>(erased))(part); },
        &task);
  }

 private:
  using Function = void (*)(const void*, int);
  void run_erased(int parts, Function function, const void* task);
  void serve(int index);
  void end();
  /// Returns once `word` differs from `seen`.
  void wait_for_change(const std::atomic<std::uint32_t>& word, std::uint32_t seen) const;

  /// Each on a cache line of its own: one is written by the caller, one by the threads.
  alignas(64) std::atomic<std::uint32_t> epoch_{0};
  alignas(64) std::atomic<std::uint32_t> unfinished_{0};
  // The job: written before `epoch_` is raised, read after.
  alignas(64) Function function_ = nullptr;
  const void* task_ = nullptr;
  int parts_ = 0;
  int spins_ = 0;
  std::atomic<bool> stopping_{false};
  std::vector<std::jthread> threads_;
};

}  // namespace gridmill::cpu
