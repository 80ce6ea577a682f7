#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "gridmill/base/clock.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/row_record.hpp"
#include "gridmill/results/result_store.hpp"

namespace gridmill::detail {

/// A record whose payload has been written.
struct PendingRecord {
  RowId row = 0;
  RowRecord record;
};

/// Group commit: a row moves queued -> synced -> on disk, one step a tick, with one fdatasync for
/// all of them.
class Committer {
 public:
  Committer(RowFile& file, const ResultLayout& layout, ResultStoreOptions options);
  Committer(const Committer&) = delete;
  Committer& operator=(const Committer&) = delete;
  ~Committer();

  /// Takes a record whose payload has been written by now.
  void add(const PendingRecord& pending);
  /// Commits until nothing is left, in the calling thread.
  void flush();
  /// Ends the thread, without a commit.
  void stop();
  /// Checks the ownership of the file, unless that was done within a commit interval.
  void require_ownership();
  /// Throws the first error, if there was one.
  void rethrow_failure() const;
  /// Makes `error` the first error, unless there is one; then rethrows the first.
  [[noreturn]] void fail(const Error& error);
  [[nodiscard]] StoreCounters counters() const;
  /// Counts written bytes and rows.
  void count(std::uint64_t rows, std::uint64_t bytes);

 private:
  struct Failure {
    ExitCode code;
    std::string message;
  };

  void run(const std::stop_token& stop);
  /// One tick; `commit_mutex_` is held. @return whether rows are left for another one.
  bool commit_once();
  bool tick();
  void check_ownership();

  RowFile* file_;
  ResultLayout layout_;
  ResultStoreOptions options_;
  std::atomic<SteadyClock::rep> owned_at_{0};  ///< when ownership was last seen; 0 = never

  std::mutex commit_mutex_;            // one tick at a time; guards synced_
  std::vector<PendingRecord> synced_;  // payload durable, record not yet written

  mutable std::mutex mutex_;           // guards what follows; never held over a system call
  std::vector<PendingRecord> queued_;  // payload written, not yet synced
  std::optional<Failure> failure_;
  StoreCounters counters_;
  std::condition_variable_any wake_;
  std::jthread thread_;  // last: ends before what it uses
};

}  // namespace gridmill::detail
