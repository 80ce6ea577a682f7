#include "kernels/reference/spans.hpp"

#include <algorithm>
#include <vector>

#include "gridmill/base/check.hpp"

namespace gridmill::reference {

void check_spans(std::span<const TokenSpan> spans, std::int64_t rows) {
  std::vector<SlotId> slots;
  for (const TokenSpan& span : spans) {
    GRIDMILL_ASSERT(
        span.tokens >= 0 && span.position >= 0 && span.row >= 0 && span.row + span.tokens <= rows,
        "a span lies outside the batch");
    slots.push_back(span.slot);
  }
  std::sort(slots.begin(), slots.end());
  GRIDMILL_ASSERT(std::adjacent_find(slots.begin(), slots.end()) == slots.end(),
                  "a slot occurs twice in one batch");
}

}  // namespace gridmill::reference
