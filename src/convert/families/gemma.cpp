#include <array>
#include <cmath>

#include "convert/families/decoder.hpp"
#include "convert/families/family.hpp"
#include "convert/families/rotary.hpp"

// Gemma, Gemma 2 and Gemma 3: norms with (1 + w), an embedding scaled by sqrt(D), tanh gelu.
namespace gridmill::convert_detail {

namespace {

constexpr std::array<NamePair, 4> kSandwich = {{
    {"attention_post_norm", "post_attention_layernorm.weight"},
    {"ffn_norm", "pre_feedforward_layernorm.weight"},
    {"ffn_post_norm", "post_feedforward_layernorm.weight"},
    {"attention_norm", "input_layernorm.weight"},
}};

/// `hidden_act` is a legacy value: without `hidden_activation` it is the tanh form.
FeedForwardSpec feed_forward_of(ConfigFields& config, const Decoder& decoder) {
  config.ignore({"hidden_act"});
  return {.size = decoder.ffn_size,
          .activation = read_activation(config, "hidden_activation", "gelu_pytorch_tanh")};
}

ModelSpec begin_gemma(const Decoder& decoder, const NormSpec& norm) {
  ModelSpec spec = begin_model(decoder, norm);
  spec.embedding.scale = std::sqrt(static_cast<double>(decoder.hidden_size));
  return spec;
}

void end_gemma(ConfigFields& config) {
  ignore_decoder_fields(config);
  config.refuse({"attention_bias", "use_bidirectional_attention"});
}

double soft_cap(ConfigFields& config, const std::string& name, double fallback) {
  if (config.mentioned(name) && !config.given(name)) return 0;  // null: no cap
  return config.number(name, fallback);
}

ParameterTake with_shift(const WantedParameter& wanted, const Names& names) {
  ParameterTake take = take_named(wanted, names);
  if (wanted.leaf.ends_with("norm")) take.shift = 1;
  return take;
}

ModelSpec read_gemma(ConfigFields& config) {
  const Decoder decoder = read_decoder(
      config, {.max_positions = 8192, .head_width = 256, .norm_eps = 1e-6, .tied = true});
  const NormSpec norm{.kind = NormKind::rms, .eps = decoder.norm_eps};
  ModelSpec spec = begin_gemma(decoder, norm);
  AttentionSpec attention = attention_of(decoder);
  attention.rotary =
      rotary_index(spec, read_rotary(config, decoder.head_width, decoder.max_length, {}));
  const FeedForwardSpec ffn = feed_forward_of(config, decoder);
  for (std::int64_t layer = 0; layer < decoder.layers; ++layer) {
    spec.layers.push_back(make_layer(LayerOrder::pre, norm, attention, ffn));
  }
  end_gemma(config);
  return spec;
}

ModelSpec read_gemma2(ConfigFields& config) {
  const Decoder decoder = read_decoder(
      config, {.max_positions = 8192, .head_width = 256, .norm_eps = 1e-6, .tied = true});
  const NormSpec norm{.kind = NormKind::rms, .eps = decoder.norm_eps};
  ModelSpec spec = begin_gemma(decoder, norm);
  AttentionSpec attention = attention_of(decoder);
  attention.rotary =
      rotary_index(spec, read_rotary(config, decoder.head_width, decoder.max_length, {}));
  attention.score_scale = 1 / std::sqrt(config.positive("query_pre_attn_scalar", 256));
  attention.score_cap = soft_cap(config, "attn_logit_softcapping", 50);
  spec.head.soft_cap = soft_cap(config, "final_logit_softcapping", 30);
  const auto windows = read_windows(config, decoder.layers, read_window_size(config, 4096),
                                    [](std::int64_t layer) { return layer % 2 == 0; });
  const FeedForwardSpec ffn = feed_forward_of(config, decoder);
  for (const std::optional<std::int64_t>& window : windows) {
    attention.window = window;
    spec.layers.push_back(make_layer(LayerOrder::sandwich, norm, attention, ffn));
  }
  end_gemma(config);
  return spec;
}

ModelSpec read_gemma3(ConfigFields& config) {
  // Published configurations of the larger models leave out what is the class's default.
  const Decoder decoder = read_decoder(config, {.vocab_size = 262208,
                                                .heads = 8,
                                                .kv_heads = 4,
                                                .max_positions = 131072,
                                                .head_width = 256,
                                                .norm_eps = 1e-6,
                                                .tied = true});
  const NormSpec norm{.kind = NormKind::rms, .eps = decoder.norm_eps};
  ModelSpec spec = begin_gemma(decoder, norm);
  AttentionSpec attention = attention_of(decoder);
  attention.score_scale = 1 / std::sqrt(config.positive("query_pre_attn_scalar", 256));
  attention.score_cap = soft_cap(config, "attn_logit_softcapping", 0);
  attention.qk_norm = QkNormSpec{.scope = QkNormScope::head, .norm = norm};
  spec.head.soft_cap = soft_cap(config, "final_logit_softcapping", 0);
  const RotaryPair rotary =
      read_rotary_pair(config, decoder.head_width, decoder.max_length, {.theta = 1e6},
                       config.positive("rope_local_base_freq", 1e4));
  const std::int64_t pattern =
      config.size("sliding_window_pattern", config.size("_sliding_window_pattern", 6));
  const auto windows =
      read_windows(config, decoder.layers, read_window_size(config, 4096),
                   [pattern](std::int64_t layer) { return (layer + 1) % pattern != 0; });
  const FeedForwardSpec ffn = feed_forward_of(config, decoder);
  for (const std::optional<std::int64_t>& window : windows) {
    attention.window = window;
    attention.rotary = rotary_index(spec, window ? rotary.windowed : rotary.full);
    spec.layers.push_back(make_layer(LayerOrder::sandwich, norm, attention, ffn));
  }
  end_gemma(config);
  return spec;
}

}  // namespace

Family gemma_family() {
  return {.model_type = "gemma",
          .architecture = "GemmaForCausalLM",
          .tokens = {.bos = 2, .eod = {1}},
          .read = read_gemma,
          .take = [](const WantedParameter& wanted) { return with_shift(wanted, {}); }};
}

Family gemma2_family() {
  return {.model_type = "gemma2",
          .architecture = "Gemma2ForCausalLM",
          .tokens = {.bos = 2, .eod = {1}},
          .read = read_gemma2,
          .take = [](const WantedParameter& wanted) {
            return with_shift(wanted, {.in_layer = kSandwich});
          }};
}

Family gemma3_family() {
  Family family = gemma2_family();
  family.model_type = "gemma3_text";
  family.architecture = "Gemma3ForCausalLM";
  family.read = read_gemma3;
  return family;
}

}  // namespace gridmill::convert_detail
