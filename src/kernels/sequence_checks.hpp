#pragma once

#include <cstdint>
#include <span>

#include "gridmill/kernels/backend.hpp"

// What every backend checks of attend() and mlstm(): all throw InternalError.
namespace gridmill::kernels_detail {

/// Every span lies inside `rows` rows, and slots are different.
void check_spans(std::span<const TokenSpan> spans, std::int64_t rows);
/// The rotary table reaches the span's last position.
void check_positions(const TokenSpan& span, const Attention& attention);
/// Widths fit each other and the cache.
void check_attention(const Attention& attention, const DeviceMatrix& qkv, const KvCacheShape& cache,
                     const PackedRows& out);
/// y, if there is one, has the shape of x.
void check_scale_add(const ConstDeviceMatrix& y, const DeviceMatrix& x);
/// Widths fit each other and the state.
void check_mlstm(const Mlstm& mlstm, const ConstDeviceMatrix& inputs, const MlstmStateShape& state);

}  // namespace gridmill::kernels_detail
