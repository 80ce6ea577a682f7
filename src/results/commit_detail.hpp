#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/results/result_store.hpp"
#include "payload_writer_detail.hpp"

namespace gridmill::detail {

/// Group commit: a row moves queued -> synced -> on disk, one step a tick, with one fdatasync for
/// all of them. All writing is done here, behind a check of ownership.
class Committer {
 public:
  Committer(RowFile& file, const ResultLayout& layout, ResultStoreOptions options);
  Committer(const Committer&) = delete;
  Committer& operator=(const Committer&) = delete;
  ~Committer();

  /// Takes a row. Waits for the disk if too much is queued. @throws the first error.
  void add(PendingRow row);
  /// Writes logits of a row that has no record yet, at once and in the calling thread.
  /// @throws the first error.
  void write_logits(RowId row, std::uint64_t position, std::span<const float> logits);
  /// Empties records, at once and in the calling thread. @throws the first error.
  void discard(std::span<const RowId> rows);
  /// Commits until nothing is left, in the calling thread.
  void flush();
  /// Ends the thread, without a commit.
  void stop();
  /// Throws the first error, if there was one.
  void rethrow_failure() const;
  /// Makes `error` the first error, unless there is one; then rethrows the first.
  [[noreturn]] void fail(const Error& error);
  [[nodiscard]] StoreCounters counters() const;

 private:
  struct Failure {
    ExitCode code;
    std::string message;
  };

  void run(const std::stop_token& stop);
  /// One tick; `commit_mutex_` is held. @return whether rows are left for another one.
  bool commit_once();
  bool tick();
  /// Runs `work`; an error in it is the store's last word.
  template <typename Work>
  auto guarded(Work&& work);

  RowFile* file_;
  ResultStoreOptions options_;

  std::mutex commit_mutex_;  // one tick at a time; guards writer_ and synced_
  PayloadWriter writer_;
  std::vector<PendingRecord> synced_;  // payload durable, record not yet written

  mutable std::mutex mutex_;        // guards what follows; never held over a system call
  std::vector<PendingRow> queued_;  // nothing written yet
  std::size_t queued_bytes_ = 0;
  std::optional<Failure> failure_;
  StoreCounters counters_;
  std::condition_variable_any wake_;
  std::jthread thread_;  // last: ends before what it uses
};

}  // namespace gridmill::detail
