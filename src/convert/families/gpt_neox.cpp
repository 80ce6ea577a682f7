#include <array>

#include "convert/families/decoder.hpp"
#include "convert/families/family.hpp"
#include "convert/families/rotary.hpp"
#include "gridmill/base/format.hpp"

// GPT-NeoX (Pythia): attention and feed-forward side by side, each with a norm of its own; q, k and
// v of a head lie together.
namespace gridmill::convert_detail {

namespace {

constexpr std::array<NamePair, 11> kInLayer = {{
    {"attention_norm_bias", "input_layernorm.bias"},
    {"ffn_norm_bias", "post_attention_layernorm.bias"},
    {"o", "attention.dense.weight"},
    {"o_bias", "attention.dense.bias"},
    {"up", "mlp.dense_h_to_4h.weight"},
    {"up_bias", "mlp.dense_h_to_4h.bias"},
    {"down", "mlp.dense_4h_to_h.weight"},
    {"down_bias", "mlp.dense_4h_to_h.bias"},
    {"gate", ""},
    {"q", ""},
    {"k", ""},
}};
constexpr std::array<NamePair, 4> kOuter = {{
    {"embedding", "gpt_neox.embed_in.weight"},
    {"final_norm", "gpt_neox.final_layer_norm.weight"},
    {"final_norm_bias", "gpt_neox.final_layer_norm.bias"},
    {"head", "embed_out.weight"},
}};

ModelSpec read_gpt_neox(ConfigFields& config) {
  const Decoder decoder =
      read_decoder(config, {.norm_eps_field = "layer_norm_eps", .norm_eps = 1e-5});
  const NormSpec norm{.kind = NormKind::layer, .eps = decoder.norm_eps, .bias = true};
  ModelSpec spec = begin_model(decoder, norm);
  AttentionSpec attention = attention_of(decoder);
  attention.rotary = rotary_index(
      spec,
      read_rotary(config, decoder.head_width, decoder.max_length,
                  {.theta_field = "rotary_emb_base", .part_field = "rotary_pct", .part = 0.25}));
  attention.qkv_bias = config.flag("attention_bias", true);
  attention.out_bias = attention.qkv_bias;
  const FeedForwardSpec ffn{.size = decoder.ffn_size,
                            .gated = false,
                            .activation = read_activation(config, "hidden_act", "gelu"),
                            .up_bias = true,
                            .down_bias = true};
  const bool parallel = config.flag("use_parallel_residual", true);
  for (std::int64_t layer = 0; layer < decoder.layers; ++layer) {
    spec.layers.push_back(make_layer(parallel ? LayerOrder::parallel_separate : LayerOrder::pre,
                                     norm, attention, ffn));
  }
  ignore_decoder_fields(config);
  return spec;
}

ParameterTake take_gpt_neox(const WantedParameter& wanted) {
  const bool bias = wanted.leaf.ends_with("_bias");
  const std::string leaf = wanted.leaf.substr(0, wanted.leaf.find('_'));
  if (wanted.layer && (leaf == "q" || leaf == "k" || leaf == "v")) {
    const AttentionSpec& attention = wanted.attention();
    const std::int64_t width = attention.head_width;
    const std::int64_t offset = leaf == "q" ? 0 : leaf == "k" ? width : 2 * width;
    return take_heads(wanted,
                      fmt::format("gpt_neox.layers.{}.attention.query_key_value.{}", *wanted.layer,
                                  bias ? "bias" : "weight"),
                      width, 3 * width, offset, 3 * attention.heads * width);
  }
  return take_named(wanted,
                    {.in_layer = kInLayer, .outer = kOuter, .layer_prefix = "gpt_neox.layers.{}."});
}

bool is_harmless(std::string_view tensor) {
  return tensor.ends_with(".attention.bias") || tensor.ends_with(".attention.masked_bias") ||
         tensor.ends_with("rotary_emb.inv_freq");
}

}  // namespace

Family gpt_neox_family() {
  return {.model_type = "gpt_neox",
          .architecture = "GPTNeoXForCausalLM",
          .tokens = {.bos = 0, .eod = {2}},
          .read = read_gpt_neox,
          .take = take_gpt_neox,
          .harmless = is_harmless};
}

}  // namespace gridmill::convert_detail
