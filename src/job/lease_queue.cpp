#include "gridmill/job/lease_queue.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "gridmill/base/check.hpp"

namespace gridmill {

LeaseQueue::LeaseQueue(std::vector<RowRange> rows, int leaders, std::uint64_t cap,
                       std::uint64_t group)
    : rows_(std::make_move_iterator(rows.begin()), std::make_move_iterator(rows.end())),
      leaders_(static_cast<std::uint64_t>(leaders)),
      cap_(cap),
      group_(group) {
  GRIDMILL_ASSERT(leaders >= 1 && cap >= 1 && group >= 1,
                  "a lease queue serves somebody something");
  for (const RowRange& range : rows_) remaining_ += range.count;
}

std::uint64_t LeaseQueue::guided() const {
  if (remaining_ == 0) return 0;
  return std::max<std::uint64_t>(1, std::min(cap_, remaining_ / (2 * leaders_)));
}

std::vector<RowRange> LeaseQueue::take(std::size_t max_ranges, std::uint64_t most) {
  std::vector<RowRange> lease;
  std::uint64_t wanted = most;
  while (wanted > 0 && !rows_.empty() && lease.size() < max_ranges) {
    RowRange& front = rows_.front();
    std::uint64_t count = std::min(wanted, front.count);
    if (count == wanted && count < front.count) {
      // The lease ends inside a range: at the end of a prompt, if one is near.
      const std::uint64_t begun = (front.first + count) % group_;
      if (begun < count && 2 * (most - begun) >= most) {
        count -= begun;
        wanted = count;
      }
    }
    lease.push_back({front.first, count});
    front.first += count;
    front.count -= count;
    wanted -= count;
    remaining_ -= count;
    if (front.count == 0) rows_.pop_front();
  }
  return lease;
}

void LeaseQueue::drain() {
  rows_.clear();
  remaining_ = 0;
}

std::vector<RowRange> ranges_of(const std::vector<bool>& missing) {
  std::vector<RowRange> ranges;
  for (std::uint64_t row = 0; row < missing.size(); ++row) {
    if (!missing[row]) continue;
    if (!ranges.empty() && ranges.back().first + ranges.back().count == row) {
      ++ranges.back().count;
    } else {
      ranges.push_back({row, 1});
    }
  }
  return ranges;
}

}  // namespace gridmill
