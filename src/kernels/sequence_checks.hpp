#pragma once

#include <cstdint>
#include <span>

#include "gridmill/kernels/backend.hpp"

// Checks of the operations on sequences, shared by every backend: all throw InternalError.
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

/// Widths fit each other and the state.
void check_convolution(const ShortConvolution& convolution, const ConstDeviceMatrix& x,
                       const RecurrentStateShape& state, const DeviceMatrix& out);
void check_recurrence(const LinearRecurrence& recurrence, const RecurrenceInputs& inputs,
                      const RecurrentStateShape& state, const DeviceMatrix& out);
void check_slstm(const Slstm& cell, const ConstDeviceMatrix& inputs,
                 const RecurrentStateShape& state, const DeviceMatrix& out);
void check_decay_gates(const DecayGates& gates, const ConstDeviceMatrix& x,
                       const ConstDeviceMatrix& strength, const DeviceMatrix& out);
/// `groups` divides the columns, and the weight fits.
void check_group_norm(const Norm& norm, int groups, std::int64_t columns);
void check_gated_norm(const GatedNorm& gated, const ConstDeviceMatrix& y,
                      const ConstDeviceMatrix& z, const PackedRows& out);

}  // namespace gridmill::kernels_detail
