#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace gridmill::testing {

/// Runs work in order on a thread of its own. It does not start before someone waits or the queue
/// is long: who forgets to wait meets memory that nothing has written yet.
class WorkQueue {
 public:
  WorkQueue();
  WorkQueue(const WorkQueue&) = delete;
  WorkQueue& operator=(const WorkQueue&) = delete;
  /// Finishes what was submitted.
  ~WorkQueue();

  void submit(std::function<void()> work);
  /// Returns when everything submitted so far has run or was dropped behind a failure.
  void wait() noexcept;
  /// Throws, once, what failed meanwhile. Call after wait().
  void rethrow_failure();

 private:
  static constexpr std::size_t kLongQueue = 64;

  void run();
  [[nodiscard]] bool should_work() const;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> work_;
  std::exception_ptr failure_;
  int waiting_ = 0;
  bool busy_ = false;
  bool closing_ = false;
  std::thread thread_;
};

/// All queues of one device: what frees or reads memory waits for each of them.
class WorkQueues {
 public:
  [[nodiscard]] std::shared_ptr<WorkQueue> add();
  void wait_all() noexcept;

 private:
  std::mutex mutex_;
  std::vector<std::weak_ptr<WorkQueue>> queues_;
};

}  // namespace gridmill::testing
