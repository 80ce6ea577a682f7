#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/kernels/backend.hpp"

// Addresses of the null device: those of the host moved to a range that no x86-64 process can map,
// so following one on the host faults at once. Only the device's own thread moves them back.
namespace gridmill::testing {

inline constexpr std::uintptr_t kDeviceOffset = std::uintptr_t{1} << 62;

template <typename T>
T* device_address(T* host) {
  return host == nullptr
             ? nullptr
             : reinterpret_cast<T*>(reinterpret_cast<std::uintptr_t>(host) + kDeviceOffset);
}

/// @throws InternalError for memory that is not the device's.
template <typename T>
T* host_address(T* device) {
  if (device == nullptr) return nullptr;
  const auto address = reinterpret_cast<std::uintptr_t>(device);
  if (address < kDeviceOffset) throw InternalError("host memory was passed to the device");
  return reinterpret_cast<T*>(address - kDeviceOffset);
}

template <typename T>
BasicDeviceMatrix<T> on_host(BasicDeviceMatrix<T> matrix) {
  // A matrix without elements may lie anywhere.
  matrix.data = matrix.rows == 0 || matrix.columns == 0 ? nullptr : host_address(matrix.data);
  return matrix;
}
inline ConstDeviceVector on_host(ConstDeviceVector vector) {
  vector.data = vector.empty() ? nullptr : host_address(vector.data);
  return vector;
}
inline PackedRows on_host(PackedRows rows) {
  rows.data = rows.rows == 0 || rows.inputs == 0 ? nullptr : host_address(rows.data);
  return rows;
}
inline Weight on_host(Weight weight) {
  for (PanelRun& run : weight.runs) {
    run.data = run.panels == 0 || weight.panel_bytes == 0 ? nullptr : host_address(run.data);
  }
  return weight;
}
inline Norm on_host(Norm norm) {
  norm.weight = on_host(norm.weight);
  norm.bias = on_host(norm.bias);
  return norm;
}
inline Attention on_host(Attention attention) {
  attention.q_norm = on_host(attention.q_norm);
  attention.k_norm = on_host(attention.k_norm);
  attention.rotary = on_host(attention.rotary);
  attention.sinks = on_host(attention.sinks);
  if (attention.long_rotary.data != nullptr) attention.long_rotary = on_host(attention.long_rotary);
  return attention;
}
inline Mlstm on_host(Mlstm mlstm) {
  mlstm.q_norm = on_host(mlstm.q_norm);
  mlstm.k_norm = on_host(mlstm.k_norm);
  mlstm.head_norm = on_host(mlstm.head_norm);
  return mlstm;
}

inline ShortConvolution on_host(ShortConvolution convolution) {
  convolution.weights = on_host(convolution.weights);
  convolution.bias = on_host(convolution.bias);
  return convolution;
}
inline DecayGates on_host(DecayGates gates) { return {on_host(gates.bias), on_host(gates.a_log)}; }
inline LinearRecurrence on_host(LinearRecurrence recurrence) {
  recurrence.skip = on_host(recurrence.skip);
  return recurrence;
}
inline RecurrenceInputs on_host(const RecurrenceInputs& inputs) {
  return {on_host(inputs.q), on_host(inputs.k), on_host(inputs.v), on_host(inputs.decay),
          on_host(inputs.strength)};
}
inline GatedNorm on_host(GatedNorm gated) {
  gated.norm = on_host(gated.norm);
  return gated;
}
inline Slstm on_host(Slstm cell) {
  cell.recurrent = on_host(cell.recurrent);
  cell.bias = on_host(cell.bias);
  return cell;
}

/// Copy of host data that the caller may change as soon as the call returns.
template <typename T>
std::vector<T> copied(std::span<const T> values) {
  return {values.begin(), values.end()};
}

}  // namespace gridmill::testing
