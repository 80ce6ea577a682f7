#include "model/layers/block.hpp"

namespace gridmill::model_detail {

MixerOutput run_mixer(const BlockRun& run, const FeedForwardSpec& spec,
                      const FeedForwardParts& parts, const PackedRows& input) {
  const Weight& up = run.matrix(parts.up.weight);
  const ConstDeviceVector bias = run.vector(parts.up.bias);
  const PackedRows hidden = run.workspace().packed(run.stream(), Scratch::hidden, run.rows(),
                                                   run.matrix(parts.down.weight).shape.inputs);
  if (spec.gated) {
    run.backend().linear_gated(run.stream(), input, up, bias, spec.activation, hidden);
  } else {
    run.backend().linear_activated(run.stream(), input, up, bias, spec.activation, hidden);
  }
  return {hidden, parts.down};
}

}  // namespace gridmill::model_detail
