#include <utility>

#include "gridmill/base/check.hpp"
#include "gridmill/base/thread.hpp"
#include "job/request_ahead_detail.hpp"

namespace gridmill::job_detail {

RequestAhead::RequestAhead(Make make)
    : make_(std::move(make)),
      thread_(start_thread("preparing rows", [this](const std::stop_token& stop) { run(stop); })) {}

void RequestAhead::announce(std::span<const RowId> rows) {
  if (rows.empty()) return;
  {
    const std::lock_guard lock(mutex_);
    GRIDMILL_ASSERT(!thread_.get_stop_token().stop_requested(),
                    "rows were announced after the end");
    for (const RowId row : rows) entries_.push_back({.row = row, .result = {}});
  }
  announced_.notify_one();
}

std::size_t RequestAhead::size() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

PreparedRow RequestAhead::take() {
  std::unique_lock lock(mutex_);
  GRIDMILL_ASSERT(!entries_.empty(), "a row was taken that nobody has announced");
  made_more_.wait(lock, [this] { return made_ > 0; });
  Result result = std::move(entries_.front().result);
  entries_.pop_front();
  --made_;
  lock.unlock();
  if (const auto* error = std::get_if<std::exception_ptr>(&result)) std::rethrow_exception(*error);
  return std::move(std::get<PreparedRow>(result));
}

void RequestAhead::end() {
  thread_.request_stop();
  const std::lock_guard lock(mutex_);
  entries_.clear();
  made_ = 0;
}

void RequestAhead::run(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (announced_.wait(lock, stop, [this] { return made_ < entries_.size(); })) {
    if (stop.stop_requested()) return;  // with rows left that are not needed any more
    const RowId row = entries_[made_].row;
    lock.unlock();
    Result result;
    try {
      result = make_(row);
    } catch (...) {
      result = std::current_exception();  // it is an error only if the row will be wanted
    }
    lock.lock();
    if (stop.stop_requested()) return;  // the entry may be gone
    entries_[made_].result = std::move(result);
    ++made_;
    made_more_.notify_one();
  }
}

}  // namespace gridmill::job_detail
