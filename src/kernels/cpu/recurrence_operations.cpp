#include "gridmill/base/check.hpp"
#include "kernels/cpu/cpu_backend_detail.hpp"
#include "kernels/recurrent_state.hpp"
#include "kernels/sequence_checks.hpp"

namespace gridmill::cpu {

using namespace kernels_detail;

namespace {

/// Spans lie in the batch and in the state. @return the state of slot 0 in `layer`
float* first_slot(const HostRecurrentState& state, std::span<const TokenSpan> spans, int layer,
                  std::int64_t rows) {
  check_spans(spans, rows);
  for (const TokenSpan& span : spans) static_cast<void>(state.layer(layer, span.slot));
  return spans.empty() ? nullptr : state.layer(layer, 0);
}

std::size_t row_bytes(std::int64_t columns) {
  return static_cast<std::size_t>(columns + 16) * sizeof(float);
}

}  // namespace

void CpuBackend::short_convolution(Stream& /*stream*/, std::span<const TokenSpan> spans,
                                   const ShortConvolution& convolution, int layer,
                                   ConstDeviceMatrix x, RecurrentState& state, DeviceMatrix out) {
  const HostRecurrentState& slots = host_recurrent_state(state);
  check_convolution(convolution, x, slots.shape(), out);
  float* first = first_slot(slots, spans, layer, x.rows);
  if (first == nullptr) return;
  ConvolutionArgs args;
  args.spans = spans.data();
  args.span_count = static_cast<std::int64_t>(spans.size());
  args.convolution = convolution;
  args.x = x;
  args.state = first + slots.shape().tail_offset();
  args.slot_stride = slots.slot_stride();
  args.out = out;
  run(kernels_.short_convolution, args, args.span_count * ((x.columns + 255) / 256), 0);
}

void CpuBackend::decay_gates(Stream& /*stream*/, ConstDeviceMatrix x, ConstDeviceMatrix strength,
                             const DecayGates& gates, DeviceMatrix out) {
  check_decay_gates(gates, x, strength, out);
  run(kernels_.decay_gates, DecayGatesArgs{x, strength, gates, out}, x.rows, 0);
}

void CpuBackend::norm_groups(Stream& /*stream*/, ConstDeviceMatrix x, const Norm& norm, int groups,
                             DeviceMatrix out) {
  check_group_norm(norm, groups, x.columns);
  GRIDMILL_ASSERT(out.rows == x.rows && out.columns == x.columns, "wrong shape of the result");
  run(kernels_.norm_groups, NormGroupsArgs{x, norm, groups, out}, x.rows, 0);
}

void CpuBackend::linear_recurrence(Stream& /*stream*/, std::span<const TokenSpan> spans,
                                   const LinearRecurrence& recurrence, int layer,
                                   const RecurrenceInputs& inputs, RecurrentState& state,
                                   DeviceMatrix out) {
  const HostRecurrentState& slots = host_recurrent_state(state);
  check_recurrence(recurrence, inputs, slots.shape(), out);
  float* first = first_slot(slots, spans, layer, out.rows);
  if (first == nullptr) return;
  RecurrenceArgs args;
  args.spans = spans.data();
  args.span_count = static_cast<std::int64_t>(spans.size());
  args.recurrence = recurrence;
  args.inputs = inputs;
  args.state = first;
  args.slot_stride = slots.slot_stride();
  args.out = out;
  const auto token = static_cast<std::size_t>(2 * ((recurrence.key_width + 15) / 16 * 16));
  run(kernels_.linear_recurrence, args, args.span_count * recurrence.heads,
      kRecurrenceTokens * token * sizeof(float));
}

void CpuBackend::gated_norm_pack(Stream& /*stream*/, ConstDeviceMatrix y, ConstDeviceMatrix z,
                                 const GatedNorm& gated, PackedRows out) {
  check_gated_norm(gated, y, z, out);
  run(kernels_.gated_norm_pack, GatedNormArgs{y, z, gated, out}, out.rows, row_bytes(y.columns));
}

void CpuBackend::slstm(Stream& /*stream*/, std::span<const TokenSpan> spans, const Slstm& cell,
                       int layer, ConstDeviceMatrix inputs, RecurrentState& state,
                       DeviceMatrix out) {
  const HostRecurrentState& slots = host_recurrent_state(state);
  check_slstm(cell, inputs, slots.shape(), out);
  float* first = first_slot(slots, spans, layer, inputs.rows);
  if (first == nullptr) return;
  SlstmArgs args;
  args.spans = spans.data();
  args.span_count = static_cast<std::int64_t>(spans.size());
  args.cell = cell;
  args.inputs = inputs;
  args.state = first + slots.shape().cell_offset();
  args.slot_stride = slots.slot_stride();
  args.out = out;
  // Four rows share a reading of the weights (recurrence.hpp).
  run(kernels_.slstm, args, (args.span_count + 3) / 4 * cell.heads,
      4 * row_bytes(4 * cell.head_width));
}

}  // namespace gridmill::cpu
