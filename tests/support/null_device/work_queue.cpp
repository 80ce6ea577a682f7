#include "support/null_device/work_queue.hpp"

#include <utility>

namespace gridmill::testing {

WorkQueue::WorkQueue() : thread_([this] { run(); }) {}

WorkQueue::~WorkQueue() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

bool WorkQueue::should_work() const {
  return !work_.empty() && (waiting_ > 0 || closing_ || work_.size() >= kLongQueue);
}

void WorkQueue::submit(std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    work_.push_back(std::move(work));
  }
  changed_.notify_all();
}

void WorkQueue::wait() noexcept {
  std::unique_lock lock(mutex_);
  ++waiting_;
  changed_.notify_all();
  changed_.wait(lock, [this] { return work_.empty() && !busy_; });
  --waiting_;
}

void WorkQueue::rethrow_failure() {
  std::exception_ptr failure;
  {
    const std::lock_guard lock(mutex_);
    failure = std::exchange(failure_, nullptr);
  }
  if (failure) std::rethrow_exception(failure);
}

void WorkQueue::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return should_work() || (closing_ && work_.empty()); });
    if (work_.empty()) return;
    const std::function<void()> work = std::move(work_.front());
    work_.pop_front();
    if (failure_) {  // what was built on a failure does not run
      changed_.notify_all();
      continue;
    }
    busy_ = true;
    lock.unlock();
    std::exception_ptr failure;
    try {
      work();
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    busy_ = false;
    if (failure) failure_ = failure;
    changed_.notify_all();
  }
}

std::shared_ptr<WorkQueue> WorkQueues::add() {
  auto queue = std::make_shared<WorkQueue>();
  const std::lock_guard lock(mutex_);
  queues_.push_back(queue);
  return queue;
}

void WorkQueues::wait_all() noexcept {
  const std::lock_guard lock(mutex_);
  for (const std::weak_ptr<WorkQueue>& weak : queues_) {
    if (const std::shared_ptr<WorkQueue> queue = weak.lock()) queue->wait();
  }
}

}  // namespace gridmill::testing
