#include <array>

#include "convert/families/decoder.hpp"
#include "convert/families/experts.hpp"
#include "convert/families/family.hpp"
#include "convert/families/rotary.hpp"
#include "gridmill/base/format.hpp"

// OLMo 2 and 3 (norms behind the blocks) and OLMoE: q and k are normalised over their whole width.
namespace gridmill::convert_detail {

namespace {

constexpr std::array<NamePair, 2> kPost = {{
    {"attention_post_norm", "post_attention_layernorm.weight"},
    {"ffn_post_norm", "post_feedforward_layernorm.weight"},
}};

QkNormSpec whole_width(const NormSpec& norm) { return {.scope = QkNormScope::whole, .norm = norm}; }

ModelSpec read_olmo2(ConfigFields& config) {
  const Decoder decoder = read_decoder(config, {.norm_eps = 1e-5});
  const NormSpec norm{.kind = NormKind::rms, .eps = decoder.norm_eps};
  ModelSpec spec = begin_model(decoder, norm);
  AttentionSpec attention = attention_of(decoder);
  attention.rotary =
      rotary_index(spec, read_rotary(config, decoder.head_width, decoder.max_length, {}));
  attention.qk_norm = whole_width(norm);
  const FeedForwardSpec ffn{.size = decoder.ffn_size,
                            .activation = read_activation(config, "hidden_act", "silu")};
  for (std::int64_t layer = 0; layer < decoder.layers; ++layer) {
    spec.layers.push_back(make_layer(LayerOrder::post, norm, attention, ffn));
  }
  ignore_decoder_fields(config);
  config.refuse({"attention_bias", "clip_qkv"});
  return spec;
}

ModelSpec read_olmo3(ConfigFields& config) {
  const Decoder decoder = read_decoder(config, {.norm_eps = 1e-5});
  const NormSpec norm{.kind = NormKind::rms, .eps = decoder.norm_eps};
  ModelSpec spec = begin_model(decoder, norm);
  AttentionSpec attention = attention_of(decoder);
  attention.qk_norm = whole_width(norm);
  const RotaryPair rotary = read_rotary_pair(config, decoder.head_width, decoder.max_length, {},
                                             config.positive("rope_theta", 1e4));
  const auto windows = read_windows(config, decoder.layers, read_window_size(config, 4096),
                                    [](std::int64_t layer) { return (layer + 1) % 4 != 0; });
  const FeedForwardSpec ffn{.size = decoder.ffn_size,
                            .activation = read_activation(config, "hidden_act", "silu")};
  for (const std::optional<std::int64_t>& window : windows) {
    attention.window = window;
    attention.rotary = rotary_index(spec, window ? rotary.windowed : rotary.full);
    spec.layers.push_back(make_layer(LayerOrder::post, norm, attention, ffn));
  }
  ignore_decoder_fields(config);
  config.refuse({"attention_bias"});
  return spec;
}

ModelSpec read_olmoe(ConfigFields& config) {
  const Decoder decoder = read_decoder(config, {.max_positions = 4096, .norm_eps = 1e-5});
  const NormSpec norm{.kind = NormKind::rms, .eps = decoder.norm_eps};
  ModelSpec spec = begin_model(decoder, norm);
  AttentionSpec attention = attention_of(decoder);
  attention.rotary =
      rotary_index(spec, read_rotary(config, decoder.head_width, decoder.max_length, {}));
  attention.qk_norm = whole_width(norm);
  if (config.given("clip_qkv")) attention.clip_qkv = config.positive("clip_qkv");
  ExpertsSpec experts = read_experts(config, {.size = "intermediate_size", .default_per_token = 8});
  experts.router_weights = config.flag("norm_topk_prob", false) ? RouterWeights::softmax_shared
                                                                : RouterWeights::softmax_all;
  for (std::int64_t layer = 0; layer < decoder.layers; ++layer) {
    spec.layers.push_back(make_layer(LayerOrder::pre, norm, attention, experts));
  }
  ignore_decoder_fields(config);
  config.refuse({"attention_bias"});
  return spec;
}

ParameterTake take_olmoe(const WantedParameter& wanted) {
  if (const auto expert = expert_of(wanted.leaf)) {
    return take_whole(fmt::format("model.layers.{}.mlp.experts.{}.{}_proj.weight", *wanted.layer,
                                  expert->first, expert->second),
                      wanted.spec);
  }
  constexpr std::array<NamePair, 1> kRouter = {{{"router", "mlp.gate.weight"}}};
  return take_with_routers(wanted, {.in_layer = kRouter});
}

}  // namespace

Family olmo2_family() {
  return {.model_type = "olmo2",
          .architecture = "Olmo2ForCausalLM",
          .tokens = {.eod = {50279}},
          .read = read_olmo2,
          .take = [](const WantedParameter& wanted) {
            return take_named(wanted, {.in_layer = kPost});
          }};
}

Family olmo3_family() {
  Family family = olmo2_family();
  family.model_type = "olmo3";
  family.architecture = "Olmo3ForCausalLM";
  family.read = read_olmo3;
  return family;
}

Family olmoe_family() {
  return {.model_type = "olmoe",
          .architecture = "OlmoeForCausalLM",
          .tokens = {.eod = {50279}},
          .read = read_olmoe,
          .take = take_olmoe};
}

}  // namespace gridmill::convert_detail
