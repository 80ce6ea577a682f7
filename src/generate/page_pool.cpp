#include <algorithm>

#include "generate/page_pool_detail.hpp"
#include "gridmill/kernels/state.hpp"

namespace gridmill::generate_detail {

std::int64_t pages_of(std::int64_t positions) {
  return (positions + kKvPagePositions - 1) / kKvPagePositions;
}

std::size_t rows_with_pages(std::span<const PageDemand> rows, std::size_t live,
                            std::int64_t pages) {
  std::int64_t needed = 0;
  std::int64_t wanted = 0;
  for (const PageDemand& row : rows.first(live)) {
    needed += row.needs;
    wanted += row.wants;
  }
  while (live > 1 && needed > pages) {
    --live;
    needed -= rows[live].needs;
    wanted -= rows[live].wants;
  }
  while (live < rows.size() && (live == 0 || wanted + rows[live].wants <= pages)) {
    wanted += rows[live].wants;
    ++live;
  }
  return live;
}

std::int64_t room_for_more(std::span<const PageDemand> rows, std::size_t live, std::int64_t pages,
                           std::int64_t longest) {
  if (rows.empty()) return pages / longest;
  if (rows_with_pages(rows, live, pages) < rows.size()) return 0;
  const auto count = static_cast<std::int64_t>(rows.size());
  std::int64_t left = pages;
  std::int64_t seen = 0;
  for (const PageDemand& row : rows) {
    left -= row.wants;
    seen += row.first;
  }
  const std::int64_t expected = std::max<std::int64_t>((seen + count - 1) / count, 1);
  return std::max<std::int64_t>(left / expected, 0);
}

}  // namespace gridmill::generate_detail
