#pragma once

#include <cstdint>

#include "gridmill/params/shape.hpp"

namespace gridmill::model_detail {

/// Place in a group of ranks that share the heads, hidden units and vocabulary of one model.
struct TensorParallel {
  int size = 1;
  int rank = 0;
};

/// @throws UsageError unless `tp` is 1, 2, 4 or 8 ways and this rank exists.
void check_tensor_parallel(TensorParallel tp);
/// @throws UsageError unless the size of `tp` divides `heads`, and, for more than one rank, heads *
/// head_width is a multiple of 16: then a rank's heads are whole blocks of the row-parallel product
/// behind them (docs/numerics.md, section 2).
void check_tensor_parallel(TensorParallel tp, std::int64_t heads, std::int64_t head_width);

/// This rank's part of `heads` query (or mLSTM) heads.
[[nodiscard]] IndexRange head_slice(TensorParallel tp, std::int64_t heads);

/// This rank's key-value heads: split if tp divides them, replicated if they divide tp.
/// @throws UsageError otherwise.
[[nodiscard]] IndexRange kv_head_slice(TensorParallel tp, std::int64_t kv_heads);

/// The same for the key heads of a recurrence (groups of Mamba-2).
/// @throws UsageError
[[nodiscard]] IndexRange key_head_slice(TensorParallel tp, std::int64_t key_heads);

/// Elements of `heads` heads of `width`.
[[nodiscard]] constexpr IndexRange head_elements(IndexRange heads, std::int64_t width) {
  return {heads.first * width, heads.count * width};
}

}  // namespace gridmill::model_detail
