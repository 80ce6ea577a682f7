#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace gridmill::generate_detail {

/// Shares the rows of one pass: every row with a single token left to feed gets it, the others
/// share what is left of `pass_rows`, oldest first. At least an eighth of the pass goes to them, so
/// that many decode rows cannot starve a prompt.
/// @param pending  tokens left to feed, oldest row first; 0 = nothing.
/// @return tokens to feed now, in the same order.
[[nodiscard]] std::vector<std::int64_t> share_pass(std::span<const std::int64_t> pending,
                                                   std::int64_t pass_rows);

}  // namespace gridmill::generate_detail
