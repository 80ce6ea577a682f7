#include <algorithm>
#include <chrono>
#include <utility>

#include "commit_detail.hpp"
#include "gridmill/base/clock.hpp"
#include "gridmill/base/thread.hpp"

namespace gridmill::detail {

namespace {

using std::chrono::milliseconds;

/// A row needs up to two ticks; 2/5 of the interval each leaves a fifth for the syncs themselves.
milliseconds tick_of(milliseconds commit_interval) {
  return std::max(milliseconds{1}, commit_interval * 2 / 5);
}

}  // namespace

Committer::Committer(RowFile& file, const ResultLayout& layout, ResultStoreOptions options)
    : file_(&file), options_(std::move(options)), writer_(file, layout) {
  const WithoutSignals inherited_by_the_thread;
  thread_ = start_thread("committing rows", [this](const std::stop_token& stop) { run(stop); });
}

Committer::~Committer() { stop(); }

void Committer::stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void Committer::run(const std::stop_token& stop) {
  const milliseconds tick_length = tick_of(options_.commit_interval);
  SteadyClock::time_point next = SteadyClock::now();
  while (true) {
    next = std::max(next + tick_length, SteadyClock::now());
    {
      std::unique_lock lock(mutex_);
      wake_.wait_until(lock, stop, next, [] { return false; });
      if (stop.stop_requested() || failure_) return;
    }
    try {
      const std::lock_guard commit(commit_mutex_);
      tick();
    } catch (const Error&) {
      return;  // kept in failure_; the next call of the store throws it
    }
  }
}

template <typename Work>
auto Committer::guarded(Work&& work) {
  rethrow_failure();
  try {
    return work();
  } catch (const Error& error) {
    fail(error);
  } catch (const std::exception& error) {
    fail(InternalError(std::string("committing rows failed: ") + error.what()));
  }
}

bool Committer::tick() {
  return guarded([this] { return commit_once(); });
}

bool Committer::commit_once() {
  std::vector<PendingRow> queued;
  {
    const std::lock_guard lock(mutex_);
    queued = std::exchange(queued_, {});
    queued_bytes_ = 0;
  }
  // An idle store makes no check: a check opens a file, and thousands of ranks share its server.
  if (synced_.empty() && queued.empty()) return false;
  if (options_.check_ownership) options_.check_ownership();
  const std::vector<PendingRecord> written = std::exchange(synced_, {});
  const std::uint64_t bytes_before = writer_.bytes_written();
  writer_.write_records(written);
  synced_ = writer_.write(std::move(queued));
  const SteadyClock::time_point start = SteadyClock::now();
  file_->sync();
  {
    const std::lock_guard lock(mutex_);
    counters_.syncs += 1;
    counters_.sync_s += seconds_since(start);
    counters_.rows_durable += written.size();
    counters_.bytes_written += writer_.bytes_written() - bytes_before;
  }
  if (options_.on_durable && !written.empty()) {
    std::vector<RowId> rows(written.size());
    std::transform(written.begin(), written.end(), rows.begin(),
                   [](const PendingRecord& pending) { return pending.row; });
    options_.on_durable(rows);
  }
  return !synced_.empty();
}

void Committer::flush() {
  const std::lock_guard commit(commit_mutex_);
  while (tick()) {
  }
}

void Committer::add(PendingRow row) {
  // A disk that stalls must not fill the memory.
  constexpr std::size_t kMostQueuedBytes = 64 << 20;
  bool full = false;
  {
    const std::lock_guard lock(mutex_);
    queued_bytes_ += row.bytes();
    full = queued_bytes_ > kMostQueuedBytes;
    queued_.push_back(std::move(row));
    counters_.rows_put += 1;
  }
  if (full) flush();
}

void Committer::write_logits(RowId row, std::uint64_t position, std::span<const float> logits) {
  const std::lock_guard commit(commit_mutex_);
  guarded([&] {
    if (options_.check_ownership) options_.check_ownership();
    writer_.write_logits(row, position, logits);
  });
}

void Committer::discard(std::span<const RowId> rows) {
  std::vector<PendingRecord> empty;
  empty.reserve(rows.size());
  for (const RowId row : rows) empty.push_back({.row = row, .record = RowRecord{}});
  const std::lock_guard commit(commit_mutex_);
  guarded([&] {
    if (options_.check_ownership) options_.check_ownership();
    writer_.write_records(empty);
  });
}

StoreCounters Committer::counters() const {
  const std::lock_guard lock(mutex_);
  return counters_;
}

void Committer::rethrow_failure() const {
  const std::lock_guard lock(mutex_);
  if (!failure_) return;
  // By kind, so that callers may catch it as such; always a new object, it may travel far.
  switch (failure_->code) {
    case ExitCode::io:
      throw IoError(failure_->message);
    case ExitCode::output_refused:
      throw OutputError(failure_->message);
    default:
      throw Error(failure_->code, failure_->message);
  }
}

void Committer::fail(const Error& error) {
  {
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = Failure{error.code(), error.what()};
  }
  rethrow_failure();
  throw InternalError("unreachable: a failure was just set");
}

}  // namespace gridmill::detail
