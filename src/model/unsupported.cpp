#include "model/unsupported.hpp"

#include <string>

#include "gridmill/base/error.hpp"

namespace gridmill::model_detail {

namespace {

void refuse_if(bool present, const std::string& what) {
  if (present)
    throw FormatError("model configuration: " + what + " is unsupported by this gridmill");
}

void check_mixer(const ModelSpec& model, const AttentionSpec& attention) {
  refuse_if(!attention.rotary, "attention without rotary");
  refuse_if(model.rotary[static_cast<std::size_t>(*attention.rotary)].width != attention.head_width,
            "a rotary width other than head_width");
  refuse_if(attention.score_cap != 0, "score_cap");
  refuse_if(attention.clip_qkv != 0, "clip_qkv");
  refuse_if(attention.qk_norm && (attention.qk_norm->scope != QkNormScope::head ||
                                  attention.qk_norm->norm.kind != NormKind::rms),
            "qk_norm other than rms of scope head");
  refuse_if(attention.sinks, "sinks");
  refuse_if(attention.output_gate, "output_gate");
}
void check_mixer(const ModelSpec& /*model*/, const FeedForwardSpec& /*spec*/) {}
void check_mixer(const ModelSpec& /*model*/, const ExpertsSpec& /*spec*/) {
  refuse_if(true, "experts");
}
void check_mixer(const ModelSpec& /*model*/, const MlstmSpec& /*spec*/) {}

}  // namespace

void refuse_unsupported(const ModelSpec& spec) {
  refuse_if(spec.embedding.scale != 1, "embedding.scale");
  refuse_if(spec.embedding.positions != 0, "embedding.positions");
  for (const RotarySpec& rotary : spec.rotary) {
    refuse_if(rotary.scaling == RotaryScaling::longrope, "longrope");
  }
  for (const LayerSpec& layer : spec.layers) {
    for (const BlockSpec& block : layer.blocks) {
      refuse_if(block.input_scale != 1, "input_scale");
      refuse_if(block.residual_scale != 1, "residual_scale");
      std::visit([&](const auto& mixer) { check_mixer(spec, mixer); }, block.mixer);
    }
  }
  refuse_if(spec.head.bias, "head.bias");
  refuse_if(spec.head.scale != 1, "head.scale");
}

}  // namespace gridmill::model_detail
