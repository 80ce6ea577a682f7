#include "model/layout/tensor_parallel.hpp"

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill::model_detail {

void check_tensor_parallel(TensorParallel tp) {
  if (tp.size != 1 && tp.size != 2 && tp.size != 4 && tp.size != 8) {
    throw UsageError(fmt::format("tp is {}, expected 1, 2, 4 or 8", tp.size));
  }
  if (tp.rank < 0 || tp.rank >= tp.size) {
    throw UsageError(fmt::format("tp rank {} is not in a group of {}", tp.rank, tp.size));
  }
}

void check_tensor_parallel(TensorParallel tp, std::int64_t heads, std::int64_t head_width) {
  if (heads % tp.size != 0) {
    throw UsageError(fmt::format("tp = {} does not divide the model's {} heads; use a smaller tp",
                                 tp.size, heads));
  }
  constexpr std::int64_t kWidthUnit = std::int64_t{2} * kReductionBlocks;
  if (tp.size > 1 && heads * head_width % kWidthUnit != 0) {
    throw UsageError(fmt::format(
        "tp = {} needs heads * head width to be a multiple of {}, found {} * {}; use tp = 1",
        tp.size, kWidthUnit, heads, head_width));
  }
}

IndexRange head_slice(TensorParallel tp, std::int64_t heads) {
  const std::int64_t count = heads / tp.size;
  return {count * tp.rank, count};
}

namespace {

/// Split or replicated.
IndexRange shared_head_slice(TensorParallel tp, std::int64_t heads, const char* what) {
  if (heads % tp.size == 0) return head_slice(tp, heads);
  if (tp.size % heads == 0) return {tp.rank * heads / tp.size, 1};
  throw UsageError(fmt::format("tp = {} and {} {}: one must divide the other; use another tp",
                               tp.size, heads, what));
}

}  // namespace

IndexRange kv_head_slice(TensorParallel tp, std::int64_t kv_heads) {
  return shared_head_slice(tp, kv_heads, "key-value heads");
}

IndexRange key_head_slice(TensorParallel tp, std::int64_t key_heads) {
  return shared_head_slice(tp, key_heads, "key heads of a recurrence");
}

}  // namespace gridmill::model_detail
