#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <span>
#include <stop_token>
#include <thread>
#include <variant>

#include "gridmill/base/ids.hpp"
#include "job/prepared_row_detail.hpp"

namespace gridmill::job_detail {

/// Prepares rows on a thread of its own before they are wanted, so that no pass of the model waits
/// for a prompt to be read and encoded. Rows come out in the order in which they were announced.
///
/// The members are for one other thread. `make` is called by the thread in here alone.
class RequestAhead {
 public:
  using Make = std::function<PreparedRow(RowId)>;
  explicit RequestAhead(Make make);
  /// Waits for the row that is being made.
  ~RequestAhead() = default;
  RequestAhead(const RequestAhead&) = delete;
  RequestAhead& operator=(const RequestAhead&) = delete;

  /// Rows that will be wanted, behind those announced before.
  void announce(std::span<const RowId> rows);
  /// Announced and not taken.
  [[nodiscard]] std::size_t size() const;
  /// The first of them; waits until it is made. At least one has to be there.
  /// @throws what `make` threw for this row.
  [[nodiscard]] PreparedRow take();
  /// Forgets all of them, without waiting. Nothing may be announced any more.
  void end();

 private:
  using Result = std::variant<std::monostate, PreparedRow, std::exception_ptr>;
  struct Entry {
    RowId row = 0;
    Result result;
  };
  void run(const std::stop_token& stop);

  Make make_;
  mutable std::mutex mutex_;
  std::condition_variable_any announced_;
  std::condition_variable made_more_;
  std::deque<Entry> entries_;
  std::size_t made_ = 0;  ///< entries that have their result; the next one is at work
  std::jthread thread_;   // last: ends before what it uses
};

}  // namespace gridmill::job_detail
