#include "convert/families/decoder.hpp"
#include "convert/families/family.hpp"
#include "convert/families/rotary.hpp"

// Granite 3: Llama with four multipliers.
namespace gridmill::convert_detail {

namespace {

ModelSpec read_granite(ConfigFields& config) {
  const Decoder decoder = read_decoder(config, {.norm_eps = 1e-6});
  const NormSpec norm{.kind = NormKind::rms, .eps = decoder.norm_eps};
  ModelSpec spec = begin_model(decoder, norm);
  spec.embedding.scale = config.positive("embedding_multiplier", 1);
  spec.head.scale = 1 / config.positive("logits_scaling", 1);
  AttentionSpec attention = attention_of(decoder);
  attention.rotary =
      rotary_index(spec, read_rotary(config, decoder.head_width, decoder.max_length, {}));
  attention.score_scale = config.positive("attention_multiplier", 1);
  attention.qkv_bias = config.flag("attention_bias", false);
  attention.out_bias = attention.qkv_bias;
  const bool mlp_bias = config.flag("mlp_bias", false);
  const FeedForwardSpec ffn{.size = decoder.ffn_size,
                            .activation = read_activation(config, "hidden_act", "silu"),
                            .up_bias = mlp_bias,
                            .down_bias = mlp_bias};
  const double residual_scale = config.positive("residual_multiplier", 1);
  for (std::int64_t layer = 0; layer < decoder.layers; ++layer) {
    spec.layers.push_back(make_layer(LayerOrder::pre, norm, attention, ffn, residual_scale));
  }
  ignore_decoder_fields(config);
  return spec;
}

}  // namespace

Family granite_family() {
  return {.model_type = "granite",
          .architecture = "GraniteForCausalLM",
          .tokens = {.bos = 1, .eod = {2}},
          .read = read_granite,
          .take = [](const WantedParameter& wanted) { return take_named(wanted, {}); }};
}

}  // namespace gridmill::convert_detail
