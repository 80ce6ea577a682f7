#include "convert/families/decoder.hpp"
#include "convert/families/family.hpp"
#include "convert/families/rotary.hpp"

// Command-R and Command-R7B: attention and feed-forward side by side on one layer norm without
// bias, interleaved rotary pairs, scaled logits.
namespace gridmill::convert_detail {

namespace {

/// @param windowed  Cohere 2: windows by pattern, and only windowed layers rotate.
ModelSpec read_cohere(ConfigFields& config, bool windowed) {
  const Decoder decoder = read_decoder(
      config,
      {.max_positions = 8192, .norm_eps_field = "layer_norm_eps", .norm_eps = 1e-5, .tied = true});
  const NormSpec norm{.kind = NormKind::layer, .eps = decoder.norm_eps};
  ModelSpec spec = begin_model(decoder, norm);
  spec.head.scale = config.positive("logit_scale", 0.0625);
  AttentionSpec attention = attention_of(decoder);
  const RotarySpec rotary = read_rotary(config, decoder.head_width, decoder.max_length, {});
  attention.qkv_bias = config.flag("attention_bias", false);
  attention.out_bias = attention.qkv_bias;
  const FeedForwardSpec ffn{.size = decoder.ffn_size,
                            .activation = read_activation(config, "hidden_act", "silu")};
  std::vector<std::optional<std::int64_t>> windows(static_cast<std::size_t>(decoder.layers));
  if (windowed) {
    const std::int64_t pattern =
        config.size("sliding_window_pattern", config.size("_sliding_window_pattern", 4));
    windows = read_windows(config, decoder.layers, read_window_size(config, 4096),
                           [pattern](std::int64_t layer) { return (layer + 1) % pattern != 0; });
    // Fields of the training code, with the values of every published model.
    config.ignore({"layer_switch", "order_of_interleaved_layers", "position_embedding_type",
                   "rotary_pct", "use_embedding_sharing", "use_gated_activation",
                   "use_parallel_block", "use_parallel_embedding"});
  }
  for (const std::optional<std::int64_t>& window : windows) {
    attention.window = window;
    attention.rotary = std::nullopt;
    if (!windowed || window) attention.rotary = rotary_index(spec, rotary);
    spec.layers.push_back(make_layer(LayerOrder::parallel_shared, norm, attention, ffn));
  }
  ignore_decoder_fields(config);
  config.refuse({"use_qk_norm"});
  return spec;
}

ParameterTake take_cohere(const WantedParameter& wanted) {
  return take_with_interleaved_heads(wanted, {});
}

}  // namespace

Family cohere_family() {
  return {.model_type = "cohere",
          .architecture = "CohereForCausalLM",
          .tokens = {.bos = 5, .eod = {255001}},
          .read = [](ConfigFields& config) { return read_cohere(config, false); },
          .take = take_cohere};
}

Family cohere2_family() {
  return {.model_type = "cohere2",
          .architecture = "Cohere2ForCausalLM",
          .tokens = {.bos = 5, .eod = {255001}},
          .read = [](ConfigFields& config) { return read_cohere(config, true); },
          .take = take_cohere};
}

}  // namespace gridmill::convert_detail
