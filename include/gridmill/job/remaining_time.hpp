#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace gridmill {

/// How long the rows that are left will take, judged by those that were finished so far.
class RemainingTime {
 public:
  struct Range {
    double low_s = 0;
    double high_s = 0;
  };

  /// Rows that were finished `elapsed_s` after the start; neither ever falls.
  void add(double elapsed_s, std::uint64_t rows);
  /// From the slowest to the fastest of three speeds: over all of the time, its last half and its
  /// last quarter, each give or take the chance of its count (n rows: 1 / sqrt(n)).
  /// @return nothing before a row is finished.
  [[nodiscard]] std::optional<Range> of(std::uint64_t rows_left) const;

 private:
  struct Point {
    double elapsed_s = 0;
    std::uint64_t rows = 0;
  };
  /// 64 points resolve a quarter of the time well enough, after half of them went, too.
  static constexpr std::size_t kMostPoints = 64;
  std::vector<Point> points_ = {Point{}};
  Point last_;
};

}  // namespace gridmill
