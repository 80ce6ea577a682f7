#pragma once

#include <cstdint>
#include <span>

#include "gridmill/generate/slot_plan.hpp"

namespace gridmill {

/// Tokens of a row: of its prompt, and generated.
struct RowLength {
  std::int64_t prompt = 1;
  std::int64_t generated = 1;
};

/// Passes of one replica, and what they do. Sums, hence numbers that need not be whole.
struct PassTotals {
  double passes = 0;
  double fed_tokens = 0;    ///< through the layers, those of preempted rows again
  double drawn_tokens = 0;  ///< through the head
  double fed_rows = 0;      ///< row by row and pass by pass: rows with at least one token fed
  double context = 0;       ///< tokens that a fed row had consumed before, summed over `fed_rows`
  double preempted_rows = 0;
  double seconds = 0;  ///< of `pass_seconds`
  // The most at any time.
  std::int64_t peak_rows = 0;    ///< that have been fed
  std::int64_t peak_pages = 0;   ///< of kKvPagePositions, that these fill
  std::int64_t peak_tokens = 0;  ///< of a pass
};

/// Seconds of one pass; its fields are those of PassTotals with `passes` 1.
using PassSeconds = std::function<double(const PassTotals& pass)>;

/// Runs the scheduling of the Generator (the pool, passes, preemption) for `rows` rows without a
/// model. Rows share nothing. More rows than a few thousand passes need are extrapolated from two
/// smaller numbers of rows.
/// @param lengths       of the rows, again from the first where there are more rows; not empty.
/// @param pass_seconds  may be empty.
[[nodiscard]] PassTotals simulate_passes(std::uint64_t rows, std::span<const RowLength> lengths,
                                         const SlotPlan& slots, const PassSeconds& pass_seconds);

}  // namespace gridmill
