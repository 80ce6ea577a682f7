#include <array>

#include "convert/families/decoder.hpp"
#include "convert/families/family.hpp"
#include "convert/families/rotary.hpp"

// Nemotron (Minitron): layer norms with (1 + w) and bias, a plain feed-forward with squared relu.
namespace gridmill::convert_detail {

namespace {

constexpr std::array<NamePair, 3> kInLayer = {{
    {"attention_norm_bias", "input_layernorm.bias"},
    {"ffn_norm_bias", "post_attention_layernorm.bias"},
    {"gate", ""},
}};
constexpr std::array<NamePair, 1> kOuter = {{{"final_norm_bias", "model.norm.bias"}}};

ModelSpec read_nemotron(ConfigFields& config) {
  const Decoder decoder =
      read_decoder(config, {.max_positions = 4096, .norm_eps_field = "norm_eps", .norm_eps = 1e-5});
  const NormSpec norm{.kind = NormKind::layer, .eps = decoder.norm_eps, .bias = true};
  ModelSpec spec = begin_model(decoder, norm);
  AttentionSpec attention = attention_of(decoder);
  attention.rotary =
      rotary_index(spec, read_rotary(config, decoder.head_width, decoder.max_length,
                                     {.part_field = "partial_rotary_factor", .part = 0.5}));
  attention.qkv_bias = config.flag("attention_bias", false);
  attention.out_bias = attention.qkv_bias;
  const bool mlp_bias = config.flag("mlp_bias", false);
  const FeedForwardSpec ffn{.size = decoder.ffn_size,
                            .gated = false,
                            .activation = read_activation(config, "hidden_act", "relu2"),
                            .up_bias = mlp_bias,
                            .down_bias = mlp_bias};
  for (std::int64_t layer = 0; layer < decoder.layers; ++layer) {
    spec.layers.push_back(make_layer(LayerOrder::pre, norm, attention, ffn));
  }
  ignore_decoder_fields(config);
  return spec;
}

}  // namespace

Family nemotron_family() {
  return {.model_type = "nemotron",
          .architecture = "NemotronForCausalLM",
          .tokens = {.bos = 2, .eod = {3}},
          .read = read_nemotron,
          .take = [](const WantedParameter& wanted) {
            ParameterTake take = take_named(wanted, {.in_layer = kInLayer, .outer = kOuter});
            if (wanted.leaf.ends_with("norm")) take.shift = 1;
            return take;
          }};
}

}  // namespace gridmill::convert_detail
