#include "model/layers/block.hpp"

namespace gridmill::model_detail {

namespace {

/// act(gate_scale * gate) * up, from gate and up side by side.
void gate_with_factor(const BlockRun& run, const FeedForwardSpec& spec,
                      const FeedForwardParts& parts, const PackedRows& input,
                      const PackedRows& hidden) {
  const DeviceMatrix both = run.linear(input, parts.up, Scratch::projected);
  const DeviceMatrix gate = both.columns_at(0, hidden.inputs);
  run.backend().scale_add(run.stream(), static_cast<float>(spec.gate_scale), {}, 1, gate);
  run.backend().gated_norm_pack(run.stream(), both.columns_at(hidden.inputs, hidden.inputs), gate,
                                {.norm = {}, .activation = spec.activation}, hidden);
}

}  // namespace

MixerOutput run_mixer(const BlockRun& run, const FeedForwardSpec& spec,
                      const FeedForwardParts& parts, const PackedRows& input) {
  const Weight& up = run.matrix(parts.up.weight);
  const ConstDeviceVector bias = run.vector(parts.up.bias);
  const PackedRows hidden = run.workspace().packed(run.stream(), Scratch::hidden, run.rows(),
                                                   run.matrix(parts.down.weight).shape.inputs);
  if (spec.gate_scale != 1) {
    gate_with_factor(run, spec, parts, input, hidden);
  } else if (spec.gated) {
    run.backend().linear_gated(run.stream(), input, up, bias, spec.activation, hidden);
  } else {
    run.backend().linear_activated(run.stream(), input, up, bias, spec.activation, hidden);
  }
  return {hidden, parts.down};
}

}  // namespace gridmill::model_detail
