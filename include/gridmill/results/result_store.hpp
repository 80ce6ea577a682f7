#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "gridmill/base/ids.hpp"
#include "gridmill/results/layout.hpp"
#include "gridmill/results/row.hpp"
#include "gridmill/results/row_file.hpp"

namespace gridmill {

struct ResultStoreOptions {
  /// A row is durable so long after put() at the latest (plus what one fdatasync takes).
  std::chrono::milliseconds commit_interval{1000};
  /// Called with rows that are durable now, in order of their put(), by the commit thread or by the
  /// caller of flush(), never by both at once. Must not throw, nor call the store.
  std::function<void(std::span<const RowId>)> on_durable{};
  /// Called before each commit that has something to write, before anything is written: throws if
  /// another run has taken the file over (RunGuard::check).
  std::function<void()> check_ownership{};
};

/// Totals of one store.
struct StoreCounters {
  std::uint64_t rows_put = 0;
  std::uint64_t rows_durable = 0;
  std::uint64_t bytes_written = 0;
  std::uint64_t syncs = 0;
  double sync_s = 0;
};

/// Writes rows so that a kill or power cut at any moment loses no durable row and leaves none half
/// written. Local: every writing rank has its own; rows of different ranks are different. No MPI
/// and no HDF5 inside.
///
/// put() takes a copy. A commit thread writes the payloads of a tick's rows and makes them durable
/// (one fdatasync for all of them), then writes their 32-byte records with the next tick. So a
/// record on disk never describes bytes that are not, and the generating thread does not wait for
/// the disk.
///
/// The first failed write, sync or ownership check is final: no further record is written, every
/// later call throws the same error, nothing is retried.
class ResultStore {
 public:
  /// @throws MissingInputError if there is no such file.
  [[nodiscard]] static ResultStore open(const std::string& path, const ResultLayout& layout,
                                        ResultStoreOptions options = {});
  /// Over any file, for tests.
  ResultStore(std::unique_ptr<RowFile> file, const ResultLayout& layout,
              ResultStoreOptions options);
  ResultStore(ResultStore&&) noexcept;
  ResultStore& operator=(ResultStore&&) noexcept;
  /// Closes if close() was not called; what fails then is logged.
  ~ResultStore();

  /// Takes a finished, failed or partial row. A row may be put again: longer when it was partial,
  /// or anything when it was failed or damaged; zeros follow its new end. A done row stays as it
  /// is: putting the same or a part of it does nothing, anything else is an InternalError of the
  /// commit. Thread-safe. Waits for a commit if much is queued (64 MiB).
  /// @throws InternalError if the row does not fit the layout; the store's first error.
  void put(const RowResult& result);
  /// Writes logits of a row that will be put, from `position` on, at once: they would fill the
  /// memory. They are durable with the row. @param logits  [tokens, vocab].
  /// @throws InternalError if they do not fit the layout; the store's first error.
  void put_logits(RowId row, std::uint64_t position, std::span<const float> logits);
  /// Empties the records of damaged rows, to be put again. Durable with the next commit.
  void discard(std::span<const RowId> rows);
  /// Returns when everything put before is durable. From any thread, also while another one is in
  /// close(), and after it. @throws the store's first error.
  void flush();
  /// Flushes and ends the commit thread. Later calls of put() and discard() are an InternalError.
  /// @throws the store's first error.
  void close();
  /// @throws the store's first error, if there was one: a caller without rows to put learns of it.
  void require_healthy() const;
  [[nodiscard]] StoreCounters counters() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gridmill
