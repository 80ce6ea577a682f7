#include "gridmill/job/remaining_time.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace gridmill {

void RemainingTime::add(double elapsed_s, std::uint64_t rows) {
  last_ = {.elapsed_s = elapsed_s, .rows = rows};
  // Points lie at least a 64th of the time apart, so that there is room for them.
  if (elapsed_s < points_.back().elapsed_s + elapsed_s / kMostPoints) return;
  points_.push_back(last_);
  if (points_.size() <= 2 * kMostPoints) return;
  std::size_t kept = 0;
  for (std::size_t i = 0; i < points_.size(); i += 2) points_[kept++] = points_[i];
  points_.resize(kept);
}

std::optional<RemainingTime::Range> RemainingTime::of(std::uint64_t rows_left) const {
  std::optional<Range> range;
  constexpr std::array<double, 3> kBegins = {0.0, 0.5, 0.75};
  for (const double begin : kBegins) {
    const double from_s = begin * last_.elapsed_s;
    const auto behind =
        std::find_if(points_.rbegin(), points_.rend(),
                     [from_s](const Point& point) { return point.elapsed_s <= from_s; });
    if (behind == points_.rend()) continue;
    const double rows = static_cast<double>(last_.rows - behind->rows);
    const double seconds = last_.elapsed_s - behind->elapsed_s;
    if (rows < 1 || seconds <= 0) continue;
    const double whole_s = static_cast<double>(rows_left) * seconds / rows;
    const double chance = 1 / std::sqrt(rows);
    const double low_s = whole_s / (1 + chance);
    // With a single row the chance is no upper bound; twice the time stands for it.
    const double high_s = whole_s / std::max(0.5, 1 - chance);
    if (!range) range = Range{.low_s = low_s, .high_s = high_s};
    range->low_s = std::min(range->low_s, low_s);
    range->high_s = std::max(range->high_s, high_s);
  }
  return range;
}

}  // namespace gridmill
