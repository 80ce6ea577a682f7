#pragma once

#include <cstdint>
#include <span>

#include "gridmill/kernels/backend.hpp"

// What every backend checks of attend() and mlstm(): all throw InternalError.
namespace gridmill::kernels_detail {

/// Every span lies inside `rows` rows, and slots are different.
void check_spans(std::span<const TokenSpan> spans, std::int64_t rows);
/// Widths fit each other and the cache.
void check_attention(const Attention& attention, const DeviceMatrix& qkv, const KvCacheShape& cache,
                     const PackedRows& out);
/// Widths fit each other and the state.
void check_mlstm(const Mlstm& mlstm, const ConstDeviceMatrix& inputs, const MlstmStateShape& state);

}  // namespace gridmill::kernels_detail
