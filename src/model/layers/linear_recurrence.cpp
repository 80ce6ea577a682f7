#include <cmath>

#include "model/layers/block.hpp"

namespace gridmill::model_detail {

namespace {

/// Where the projections of one rank stand in the product of its inputs.
struct ProjectedColumns {
  ProjectedColumns(const LinearRecurrenceSpec& spec, TensorParallel tp)
      : heads(head_slice(tp, spec.heads).count),
        key_heads(key_head_slice(tp, spec.key_heads).count),
        keys(key_heads * spec.key_width),
        values(heads * spec.value_width) {}
  std::int64_t heads, key_heads;
  std::int64_t keys, values;

  [[nodiscard]] DeviceMatrix q(DeviceMatrix x) const { return x.columns_at(0, keys); }
  [[nodiscard]] DeviceMatrix k(DeviceMatrix x) const { return x.columns_at(keys, keys); }
  [[nodiscard]] DeviceMatrix v(DeviceMatrix x) const { return x.columns_at(2 * keys, values); }
  [[nodiscard]] std::int64_t convolved() const { return 2 * keys + values; }
  [[nodiscard]] DeviceMatrix gate(DeviceMatrix x) const {
    return x.columns_at(convolved(), values);
  }
  [[nodiscard]] DeviceMatrix decay(DeviceMatrix x) const {
    return x.columns_at(convolved() + values, heads);
  }
  [[nodiscard]] DeviceMatrix strength(DeviceMatrix x) const {
    return x.columns_at(convolved() + values + heads, heads);
  }
};

void scale(const BlockRun& run, double factor, DeviceMatrix x) {
  if (factor != 1) run.backend().scale_add(run.stream(), static_cast<float>(factor), {}, 1, x);
}

void scale_inputs(const BlockRun& run, const RecurrenceScales& scales,
                  const ProjectedColumns& columns, DeviceMatrix inputs) {
  scale(run, scales.q, columns.q(inputs));
  scale(run, scales.k, columns.k(inputs));
  scale(run, scales.v, columns.v(inputs));
  scale(run, scales.gate, columns.gate(inputs));
  scale(run, scales.decay, columns.decay(inputs));
}

/// x / sqrt(sum x^2 + eps) = x / sqrt(mean x^2 + eps / n) / sqrt(n).
Norm l2_norm(double eps, std::int64_t width) {
  const auto n = static_cast<double>(width);
  return {.kind = NormKind::rms,
          .eps = static_cast<float>(eps / n),
          .weight = {},
          .bias = {},
          .scale = static_cast<float>(1 / std::sqrt(n))};
}

GatedNorm gated_norm(const BlockRun& run, const LinearRecurrenceSpec& spec,
                     const LinearRecurrenceParts& parts) {
  GatedNorm gated{.norm = {}, .groups = 0, .gate_first = spec.gate_first};
  if (spec.norm) {
    gated.norm = run.norm(spec.norm->norm, {.weight = parts.norm});
    gated.groups = static_cast<int>(spec.norm->groups / run.tp().size);
  }
  return gated;
}

}  // namespace

DeviceMatrix run_convolution(const BlockRun& run, std::int64_t taps, const NormParts& parts,
                             int group, int index, ConstDeviceMatrix x, Scratch what) {
  const DeviceMatrix out = run.workspace().matrix(run.stream(), what, run.rows(), x.columns);
  run.backend().short_convolution(run.stream(), run.pass.spans,
                                  {.taps = static_cast<int>(taps),
                                   .weights = run.vector(parts.weight),
                                   .bias = run.vector(parts.bias),
                                   .activation = Activation::silu},
                                  index, x, run.pass.states.recurrent(group), out);
  return out;
}

MixerOutput run_mixer(const BlockRun& run, const LinearRecurrenceSpec& spec,
                      const LinearRecurrenceParts& parts, const PackedRows& input) {
  Backend& backend = run.backend();
  Stream& stream = run.stream();
  const ProjectedColumns columns(spec, run.tp());
  const DeviceMatrix inputs = run.linear(input, parts.inputs, Scratch::projected);
  if (spec.scales) scale_inputs(run, *spec.scales, columns, inputs);

  const DeviceMatrix convolved =
      run_convolution(run, spec.conv_kernel, parts.conv, run.state.group, run.state.index,
                      inputs.columns_at(0, columns.convolved()), Scratch::convolved);
  const DeviceMatrix q = columns.q(convolved);
  const DeviceMatrix k = columns.k(convolved);
  if (spec.l2_norm_eps > 0) {
    const Norm norm = l2_norm(spec.l2_norm_eps, spec.key_width);
    backend.norm_groups(stream, q, norm, static_cast<int>(columns.key_heads), q);
    backend.norm_groups(stream, k, norm, static_cast<int>(columns.key_heads), k);
  }

  const DeviceMatrix gates =
      run.workspace().matrix(stream, Scratch::cell_input, run.rows(), 2 * columns.heads);
  const bool delta = spec.update == RecurrenceUpdate::delta;
  backend.decay_gates(stream, columns.decay(inputs),
                      delta ? ConstDeviceMatrix(columns.strength(inputs)) : ConstDeviceMatrix{},
                      {.bias = run.vector(parts.step_bias), .a_log = run.vector(parts.a_log)},
                      gates);
  const DeviceMatrix h =
      run.workspace().matrix(stream, Scratch::cell_output, run.rows(), columns.values);
  backend.linear_recurrence(stream, run.pass.spans,
                            {.heads = static_cast<int>(columns.heads),
                             .key_heads = static_cast<int>(columns.key_heads),
                             .key_width = static_cast<int>(spec.key_width),
                             .value_width = static_cast<int>(spec.value_width),
                             .update = spec.update,
                             .decay = DecayScope::head,
                             .query_scale = static_cast<float>(spec.query_scale),
                             .skip = run.vector(parts.skip)},
                            run.state.index,
                            {.q = q,
                             .k = k,
                             .v = columns.v(convolved),
                             .decay = gates.columns_at(0, columns.heads),
                             .strength = gates.columns_at(columns.heads, columns.heads)},
                            run.pass.states.recurrent(run.state.group), h);

  const PackedRows mixed =
      run.workspace().packed(stream, Scratch::mixed, run.rows(), columns.values);
  backend.gated_norm_pack(stream, h, columns.gate(inputs), gated_norm(run, spec, parts), mixed);
  return {mixed, parts.out};
}

}  // namespace gridmill::model_detail
