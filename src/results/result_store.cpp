#include "gridmill/results/result_store.hpp"

#include <algorithm>
#include <atomic>

#include "commit_detail.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/log.hpp"

namespace gridmill {

using detail::PendingRow;

class ResultStore::Impl {
 public:
  Impl(std::unique_ptr<RowFile> file, const ResultLayout& layout, ResultStoreOptions options)
      : file_(std::move(file)), layout_(layout), committer_(*file_, layout, std::move(options)) {}

  void put(const RowResult& given) {
    require_open();
    check_fits(given);
    reporting([&] { committer_.rethrow_failure(); });
    RowResult result = given;
    const std::string failure = stored_failure_text(
        given.failure.empty() && given.status == RowStatus::failed ? "no reason given"
                                                                   : given.failure);
    result.failure = failure;
    reporting([&] { committer_.add(PendingRow(layout_, result)); });
  }

  void put_logits(RowId row, std::uint64_t position, std::span<const float> logits) {
    require_open();
    const std::uint64_t width = layout_.shape.vocab;
    const bool fits = width != 0 && row < layout_.shape.rows && logits.size() % width == 0 &&
                      position + logits.size() / width <= layout_.shape.max_length;
    if (!fits) throw InternalError("logits do not fit the result file");
    reporting([&] { committer_.write_logits(row, position, logits); });
  }

  void discard(std::span<const RowId> rows) {
    require_open();
    for (const RowId row : rows) {
      if (row >= layout_.shape.rows) throw InternalError("a row beyond the file is discarded");
    }
    // Ahead of any put() of the row, which therefore wins.
    reporting([&] { committer_.discard(rows); });
  }

  /// In every state: another thread may request the last commit while close() runs it. After
  /// close() nothing is queued, and only the first error is thrown again.
  void flush() {
    reporting([&] { committer_.flush(); });
  }

  void close() {
    if (!open_.exchange(false)) return;
    committer_.stop();
    reporting([&] { committer_.flush(); });
  }

  void require_healthy() {
    reporting([&] { committer_.rethrow_failure(); });
  }

  [[nodiscard]] bool is_open() const { return open_; }
  /// Whether a caller has heard of the store's first error.
  [[nodiscard]] bool reported() const { return reported_; }
  [[nodiscard]] StoreCounters counters() const { return committer_.counters(); }

 private:
  void require_open() const {
    if (!is_open()) throw InternalError("the result store is used after close()");
  }

  void check_fits(const RowResult& result) const {
    const ResultShape& shape = layout_.shape;
    const std::size_t length = result.tokens.size();
    const bool fits = result.row < shape.rows && result.status != RowStatus::empty &&
                      length <= shape.max_length && result.prefix_length <= length &&
                      result.logprobs.size() == (shape.logprobs != 0 ? length : 0) &&
                      result.top.size() == length * shape.top &&
                      result.valid.size() == (shape.valid != 0 ? shape.max_length : 0) &&
                      (result.failure.empty() || result.status == RowStatus::failed);
    if (!fits) {
      throw InternalError(fmt::format(
          "row {} (status {}, prefix {}, length {}, {} logprobs, {} valid flags, failure '{}') "
          "does not fit {} rows of {} tokens",
          result.row, static_cast<int>(result.status), result.prefix_length, length,
          result.logprobs.size(), result.valid.size(), result.failure, shape.rows,
          shape.max_length));
    }
  }

  template <typename Work>
  void reporting(Work&& work) {
    try {
      work();
    } catch (...) {
      reported_ = true;
      throw;
    }
  }

  std::unique_ptr<RowFile> file_;
  ResultLayout layout_;
  detail::Committer committer_;
  std::atomic<bool> open_{true};  ///< takes rows
  std::atomic<bool> reported_{false};
};

ResultStore ResultStore::open(const std::string& path, const ResultLayout& layout,
                              ResultStoreOptions options) {
  return {open_row_file(path, true), layout, std::move(options)};
}

ResultStore::ResultStore(std::unique_ptr<RowFile> file, const ResultLayout& layout,
                         ResultStoreOptions options)
    : impl_(std::make_unique<Impl>(std::move(file), layout, std::move(options))) {}

ResultStore::ResultStore(ResultStore&&) noexcept = default;
ResultStore& ResultStore::operator=(ResultStore&&) noexcept = default;

ResultStore::~ResultStore() {
  if (impl_ == nullptr || !impl_->is_open()) return;
  const bool heard = impl_->reported();
  try {
    impl_->close();
  } catch (const std::exception& error) {
    if (heard) return;
    log::each_rank(log::Level::error, "closing the result file: {}", error.what());
  }
}

void ResultStore::put(const RowResult& result) { impl_->put(result); }
void ResultStore::put_logits(RowId row, std::uint64_t position, std::span<const float> logits) {
  impl_->put_logits(row, position, logits);
}
void ResultStore::discard(std::span<const RowId> rows) { impl_->discard(rows); }
void ResultStore::require_healthy() const { impl_->require_healthy(); }
void ResultStore::flush() { impl_->flush(); }
void ResultStore::close() { impl_->close(); }
StoreCounters ResultStore::counters() const { return impl_->counters(); }

}  // namespace gridmill
