#include "gridmill/base/ids.hpp"
#include "gridmill/base/row_record.hpp"
#include "row_slots_detail.hpp"

namespace gridmill::detail {

std::vector<RowSlot> row_slots(const ResultLayout& layout) {
  const ResultShape& shape = layout.shape;
  std::vector<RowSlot> slots = {
      {"rows", layout.rows_offset, sizeof(RowRecord)},
      {"tokens", layout.tokens_offset, shape.max_length * sizeof(TokenId)},
      {"failure", layout.failure_offset, kFailureBytes}};
  if (shape.logprobs != 0) {
    slots.push_back({"token_logprobs", layout.logprobs_offset, shape.max_length * sizeof(float)});
  }
  if (shape.valid != 0) slots.push_back({"valid", layout.valid_offset, shape.max_length});
  if (shape.top != 0) {
    slots.push_back({"top_ids", layout.top_ids_offset, layout.top_items() * sizeof(TokenId)});
    slots.push_back(
        {"top_logprobs", layout.top_logprobs_offset, layout.top_items() * sizeof(float)});
  }
  if (shape.scores != 0) {
    slots.push_back({"sum_logprob", layout.sums_offset, sizeof(double)});
    slots.push_back({"length", layout.lengths_offset, sizeof(std::int32_t)});
  }
  if (shape.vocab != 0) {
    slots.push_back({"logits", layout.logits_offset, shape.max_length * layout.logits_bytes()});
  }
  return slots;
}

}  // namespace gridmill::detail
