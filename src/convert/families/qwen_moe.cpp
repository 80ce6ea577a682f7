#include <array>

#include "convert/families/decoder.hpp"
#include "convert/families/experts.hpp"
#include "convert/families/family.hpp"
#include "convert/families/rotary.hpp"
#include "gridmill/base/format.hpp"

// Qwen 2 and Qwen 3 with experts; Qwen 2 has a gated shared expert, Qwen 3 norms of q and k.
namespace gridmill::convert_detail {

namespace {

constexpr std::array<NamePair, 5> kInLayer = {{
    {"router", "mlp.gate.weight"},
    {"shared_gate", "mlp.shared_expert.gate_proj.weight"},
    {"shared_up", "mlp.shared_expert.up_proj.weight"},
    {"shared_down", "mlp.shared_expert.down_proj.weight"},
    {"shared_router", "mlp.shared_expert_gate.weight"},
}};

ModelSpec read_qwen_moe(ConfigFields& config, bool qwen3) {
  const Decoder decoder = read_decoder(config, {.max_positions = 32768, .norm_eps = 1e-6});
  const NormSpec norm{.kind = NormKind::rms, .eps = decoder.norm_eps};
  ModelSpec spec = begin_model(decoder, norm);
  AttentionSpec attention = attention_of(decoder);
  attention.rotary =
      rotary_index(spec, read_rotary(config, decoder.head_width, decoder.max_length, {}));
  if (qwen3) {
    attention.qkv_bias = config.flag("attention_bias", false);
    attention.out_bias = attention.qkv_bias;
    attention.qk_norm = QkNormSpec{.scope = QkNormScope::head, .norm = norm};
  } else {
    attention.qkv_bias = config.flag("qkv_bias", true);
  }
  ExpertsSpec experts = read_experts(config, {});
  experts.router_weights = config.flag("norm_topk_prob", false) ? RouterWeights::softmax_shared
                                                                : RouterWeights::softmax_all;
  if (!qwen3) {
    experts.shared_size = config.size("shared_expert_intermediate_size");
    experts.shared_gate = true;
  }
  const FeedForwardSpec dense{.size = decoder.ffn_size, .activation = experts.activation};
  const auto windows = read_qwen_windows(config, decoder.layers);
  const std::vector<bool> sparse = read_sparse_layers(config, decoder.layers);
  for (std::size_t layer = 0; layer < windows.size(); ++layer) {
    attention.window = windows[layer];
    const Mixer mixer = sparse[layer] ? Mixer(experts) : Mixer(dense);
    spec.layers.push_back(make_layer(LayerOrder::pre, norm, attention, mixer));
  }
  ignore_decoder_fields(config);
  config.refuse({"mlp_bias"});
  return spec;
}

}  // namespace

ParameterTake take_qwen_moe(const WantedParameter& wanted) {
  if (const auto expert = expert_of(wanted.leaf)) {
    return take_whole(fmt::format("model.layers.{}.mlp.experts.{}.{}_proj.weight", *wanted.layer,
                                  expert->first, expert->second),
                      wanted.spec);
  }
  return take_with_routers(wanted, {.in_layer = kInLayer});
}

Family qwen2_moe_family() {
  return {.model_type = "qwen2_moe",
          .architecture = "Qwen2MoeForCausalLM",
          .tokens = {},
          .read = [](ConfigFields& config) { return read_qwen_moe(config, false); },
          .take = take_qwen_moe};
}

Family qwen3_moe_family() {
  return {.model_type = "qwen3_moe",
          .architecture = "Qwen3MoeForCausalLM",
          .tokens = {},
          .read = [](ConfigFields& config) { return read_qwen_moe(config, true); },
          .take = take_qwen_moe};
}

}  // namespace gridmill::convert_detail
