#include "model/unsupported.hpp"

#include <string>

#include "gridmill/base/error.hpp"

namespace gridmill::model_detail {

namespace {

void refuse_if(bool present, const std::string& what) {
  if (present)
    throw FormatError("model configuration: " + what + " is unsupported by this gridmill");
}

void check_mixer(const AttentionSpec& /*spec*/) {}
void check_mixer(const FeedForwardSpec& /*spec*/) {}
void check_mixer(const ExpertsSpec& /*spec*/) {}
void check_mixer(const MlstmSpec& /*spec*/) {}

}  // namespace

void refuse_unsupported(const ModelSpec& spec) {
  for (const LayerSpec& layer : spec.layers) {
    for (const BlockSpec& block : layer.blocks) {
      std::visit([](const auto& mixer) { check_mixer(mixer); }, block.mixer);
    }
  }
  refuse_if(spec.head.bias, "head.bias");
}

}  // namespace gridmill::model_detail
