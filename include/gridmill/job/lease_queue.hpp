#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "gridmill/base/ids.hpp"

namespace gridmill {

/// Consecutive rows [first, first + count).
struct RowRange {
  RowId first = 0;
  std::uint64_t count = 0;
  friend bool operator==(const RowRange&, const RowRange&) = default;
};

/// The rows of a job that are not leased yet. Leases live in memory only: after a crash the
/// result file says what is missing. Knows no MPI and no clock, so that simulations drive the same
/// code.
class LeaseQueue {
 public:
  /// @param rows     missing rows, ascending and disjoint.
  /// @param leaders  replicas that request leases, >= 1.
  /// @param cap      largest lease, >= 1.
  /// @param group    rows of a prompt, >= 1: row / group is the prompt.
  LeaseQueue(std::vector<RowRange> rows, int leaders, std::uint64_t cap, std::uint64_t group = 1);

  /// Guided self-scheduling: max(1, min(cap, remaining / (2 leaders))) rows; 0 when nothing is
  /// left. Source: Polychronopoulos and Kuck, "Guided self-scheduling", IEEE ToC 1987.
  [[nodiscard]] std::uint64_t guided() const;
  /// At most `most` rows in at most `max_ranges` ranges; fewer, but not less than half of them, if
  /// a prompt's rows stay together then.
  [[nodiscard]] std::vector<RowRange> take(std::size_t max_ranges, std::uint64_t most);
  [[nodiscard]] std::vector<RowRange> take(std::size_t max_ranges) {
    return take(max_ranges, guided());
  }
  [[nodiscard]] std::uint64_t remaining() const { return remaining_; }
  /// So few rows are left that none may wait in the hands of a leader.
  [[nodiscard]] bool few() const { return remaining_ <= 2 * leaders_ * cap_; }
  [[nodiscard]] std::uint64_t cap() const { return cap_; }
  /// Nothing more is handed out.
  void drain();

 private:
  std::deque<RowRange> rows_;
  std::uint64_t remaining_ = 0;
  std::uint64_t leaders_;
  std::uint64_t cap_;
  std::uint64_t group_;
};

/// Ranges of rows whose entry in `missing` is set, ascending.
[[nodiscard]] std::vector<RowRange> ranges_of(const std::vector<bool>& missing);

}  // namespace gridmill
