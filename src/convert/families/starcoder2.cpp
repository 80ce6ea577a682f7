#include <array>

#include "convert/families/decoder.hpp"
#include "convert/families/family.hpp"
#include "convert/families/rotary.hpp"

// StarCoder 2: layer norms with bias, a plain feed-forward, one window for all layers.
namespace gridmill::convert_detail {

namespace {

constexpr std::array<NamePair, 7> kInLayer = {{
    {"attention_norm_bias", "input_layernorm.bias"},
    {"ffn_norm_bias", "post_attention_layernorm.bias"},
    {"up", "mlp.c_fc.weight"},
    {"up_bias", "mlp.c_fc.bias"},
    {"down", "mlp.c_proj.weight"},
    {"down_bias", "mlp.c_proj.bias"},
    {"gate", ""},
}};
constexpr std::array<NamePair, 1> kOuter = {{{"final_norm_bias", "model.norm.bias"}}};

ModelSpec read_starcoder2(ConfigFields& config) {
  const Decoder decoder = read_decoder(config, {.kv_heads = 2,
                                                .max_positions = 4096,
                                                .norm_eps_field = "norm_epsilon",
                                                .norm_eps = 1e-5,
                                                .tied = true});
  const NormSpec norm{.kind = NormKind::layer, .eps = decoder.norm_eps, .bias = true};
  ModelSpec spec = begin_model(decoder, norm);
  AttentionSpec attention = attention_of(decoder);
  attention.rotary =
      rotary_index(spec, read_rotary(config, decoder.head_width, decoder.max_length, {}));
  const bool bias = config.flag("use_bias", true);
  attention.qkv_bias = bias;
  attention.out_bias = bias;
  const FeedForwardSpec ffn{
      .size = decoder.ffn_size,
      .gated = false,
      .activation = read_activation(config, "hidden_act", "gelu_pytorch_tanh"),
      .up_bias = bias,
      .down_bias = bias};
  const auto windows = read_windows(config, decoder.layers, read_window_size(config, std::nullopt),
                                    [](std::int64_t) { return true; });
  for (const std::optional<std::int64_t>& window : windows) {
    attention.window = window;
    spec.layers.push_back(make_layer(LayerOrder::pre, norm, attention, ffn));
  }
  ignore_decoder_fields(config);
  // Other spellings of what hidden_act and norm_epsilon say.
  config.ignore({"activation_function", "layer_norm_epsilon", "attention_softmax_in_fp32",
                 "scale_attention_softmax_in_fp32", "scale_attn_weights"});
  if (config.text("mlp_type", "default") != "default") config.fail("mlp_type", "is unsupported");
  if (config.text("norm_type", "layer_norm") != "layer_norm") {
    config.fail("norm_type", "is unsupported; expected layer_norm");
  }
  return spec;
}

}  // namespace

Family starcoder2_family() {
  return {.model_type = "starcoder2",
          .architecture = "Starcoder2ForCausalLM",
          .tokens = {.bos = 50256, .eod = {50256}},
          .read = read_starcoder2,
          .take = [](const WantedParameter& wanted) {
            return take_named(wanted, {.in_layer = kInLayer, .outer = kOuter});
          }};
}

}  // namespace gridmill::convert_detail
