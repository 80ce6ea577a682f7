#include <array>

#include "convert/families/decoder.hpp"
#include "convert/families/family.hpp"
#include "convert/families/rotary.hpp"

// Phi-1, Phi-1.5, Phi-2: attention and a plain feed-forward side by side on one layer norm, biases
// everywhere.
namespace gridmill::convert_detail {

namespace {

constexpr std::array<NamePair, 8> kInLayer = {{
    {"attention_norm_bias", "input_layernorm.bias"},
    {"o", "self_attn.dense.weight"},
    {"o_bias", "self_attn.dense.bias"},
    {"up", "mlp.fc1.weight"},
    {"up_bias", "mlp.fc1.bias"},
    {"down", "mlp.fc2.weight"},
    {"down_bias", "mlp.fc2.bias"},
    {"gate", ""},
}};
constexpr std::array<NamePair, 3> kOuter = {{
    {"final_norm", "model.final_layernorm.weight"},
    {"final_norm_bias", "model.final_layernorm.bias"},
    {"head_bias", "lm_head.bias"},
}};

ModelSpec read_phi(ConfigFields& config) {
  const Decoder decoder =
      read_decoder(config, {.norm_eps_field = "layer_norm_eps", .norm_eps = 1e-5});
  const NormSpec norm{.kind = NormKind::layer, .eps = decoder.norm_eps, .bias = true};
  ModelSpec spec = begin_model(decoder, norm);
  spec.head.bias = true;
  AttentionSpec attention = attention_of(decoder);
  attention.rotary =
      rotary_index(spec, read_rotary(config, decoder.head_width, decoder.max_length,
                                     {.part_field = "partial_rotary_factor", .part = 0.5}));
  attention.qkv_bias = true;
  attention.out_bias = true;
  const FeedForwardSpec ffn{.size = decoder.ffn_size,
                            .gated = false,
                            .activation = read_activation(config, "hidden_act", "gelu_new"),
                            .up_bias = true,
                            .down_bias = true};
  for (std::int64_t layer = 0; layer < decoder.layers; ++layer) {
    spec.layers.push_back(make_layer(LayerOrder::parallel_shared, norm, attention, ffn));
  }
  ignore_decoder_fields(config);
  config.refuse({"qk_layernorm"});
  return spec;
}

}  // namespace

Family phi_family() {
  return {.model_type = "phi",
          .architecture = "PhiForCausalLM",
          .tokens = {.bos = 1, .eod = {2}},
          .read = read_phi,
          .take = [](const WantedParameter& wanted) {
            return take_named(wanted, {.in_layer = kInLayer, .outer = kOuter});
          }};
}

}  // namespace gridmill::convert_detail
