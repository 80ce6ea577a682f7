#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace gridmill::generate_detail {

/// Pages of the pool that hold `positions`.
[[nodiscard]] std::int64_t pages_of(std::int64_t positions);

/// Pages beside those that a row fills now. With 0, rows are preempted soon after they were
/// admitted; with more, pages are idle. By tests/simulation/pool_simulation.cpp 0 is at best 1 %
/// faster than 1 and up to 8 % slower; 2 is up to 7 % slower, 4 up to 15 %, and neither is ever
/// faster.
inline constexpr std::int64_t kPagesToGrowInto = 1;

/// Demand of one row on the pool, in pages.
struct PageDemand {
  std::int64_t needs = 0;  ///< to be fed all its tokens
  /// To be admitted: a page more, if it may grow into one. Without it a row would be admitted and
  /// preempted a few tokens later, and its fed tokens would be lost.
  std::int64_t wants = 0;
  std::int64_t first = 0;  ///< its `wants` at admission
};

/// Which rows have pages in the next pass: the oldest ones, so that the oldest is never preempted
/// and ends, for any behaviour of the others.
/// @param rows  oldest first
/// @param live  how many of them have pages by now
/// @param pages  of the pool; enough for any one row
/// @return how many have them in the next pass. Less than `live`: the rows from there on are put
/// out.
[[nodiscard]] std::size_t rows_with_pages(std::span<const PageDemand> rows, std::size_t live,
                                          std::int64_t pages);

/// How many more rows there is room for beside `rows`, if they are like these. Before a row has
/// been seen, each is taken for one of `longest` pages. 0 while a row waits.
[[nodiscard]] std::int64_t room_for_more(std::span<const PageDemand> rows, std::size_t live,
                                         std::int64_t pages, std::int64_t longest);

}  // namespace gridmill::generate_detail
