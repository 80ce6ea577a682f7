#include "convert/families/decoder.hpp"
#include "convert/families/experts.hpp"
#include "convert/families/family.hpp"
#include "convert/families/rotary.hpp"

// Llama and the families that differ from it in a switch or two.
namespace gridmill::convert_detail {

namespace {

enum class Kind { llama, mistral, qwen2, qwen3 };

/// Longest row, as transformers assumes it when the field is missing.
std::int64_t default_max_positions(Kind kind) {
  if (kind == Kind::llama) return 2048;
  return kind == Kind::mistral ? 131072 : 32768;
}

std::vector<std::optional<std::int64_t>> windows_of(ConfigFields& config, Kind kind,
                                                    std::int64_t layers) {
  if (kind == Kind::qwen2 || kind == Kind::qwen3) return read_qwen_windows(config, layers);
  std::optional<std::int64_t> window;
  if (kind == Kind::mistral) window = read_window_size(config, 4096);
  config.ignore({"sliding_window", "max_window_layers"});
  return read_windows(config, layers, window, [](std::int64_t) { return true; });
}

void refuse_relatives(ConfigFields& config) {
  // Fields of relatives of these families that change what is computed.
  config.refuse({"final_logit_softcapping",
                 "attn_logit_softcapping",
                 "query_pre_attn_scalar",
                 "num_experts",
                 "num_local_experts",
                 "n_routed_experts",
                 "mlp_only_layers",
                 "attention_chunk_size",
                 "no_rope_layers",
                 "use_qk_norm",
                 "qk_layernorm",
                 "clip_qkv",
                 "alibi",
                 "dual_chunk_attention_config",
                 "attn_temperature_tuning",
                 "rope_local_base_freq",
                 "scale_embedding",
                 "normalize_embedding",
                 "rope_interleaved",
                 "use_mrope"});
  config.refuse({"logit_scale", "logits_scaling", "embedding_multiplier", "residual_multiplier",
                 "attention_multiplier", "partial_rotary_factor"},
                true);
  config.ignore({"is_llama_config"});
}

ModelSpec read_llama_like(ConfigFields& config, Kind kind) {
  const Decoder decoder =
      read_decoder(config, {.max_positions = default_max_positions(kind), .norm_eps = 1e-6});
  refuse_relatives(config);
  const NormSpec norm{.kind = NormKind::rms, .eps = decoder.norm_eps};
  ModelSpec spec = begin_model(decoder, norm);
  AttentionSpec attention = attention_of(decoder);
  attention.rotary =
      rotary_index(spec, read_rotary(config, decoder.head_width, decoder.max_length, {}));
  const bool may_have_bias = kind == Kind::llama || kind == Kind::qwen3;
  if (!may_have_bias) config.refuse({"attention_bias"});
  if (kind != Kind::llama) config.refuse({"mlp_bias"});
  const bool bias = may_have_bias && config.flag("attention_bias", false);
  attention.qkv_bias = bias || kind == Kind::qwen2;
  attention.out_bias = bias;
  if (kind == Kind::qwen3) {
    attention.qk_norm = QkNormSpec{.scope = QkNormScope::head, .norm = norm};
  }
  const bool mlp_bias = kind == Kind::llama && config.flag("mlp_bias", false);
  const FeedForwardSpec ffn{.size = decoder.ffn_size,
                            .activation = read_activation(config, "hidden_act", "silu"),
                            .up_bias = mlp_bias,
                            .down_bias = mlp_bias};
  for (const std::optional<std::int64_t>& window : windows_of(config, kind, decoder.layers)) {
    attention.window = window;
    spec.layers.push_back(make_layer(LayerOrder::pre, norm, attention, ffn));
  }
  ignore_decoder_fields(config);
  return spec;
}

ParameterTake take_llama(const WantedParameter& wanted) { return take_named(wanted, {}); }

/// Buffers of old checkpoints.
bool is_harmless(std::string_view tensor) { return tensor.ends_with("rotary_emb.inv_freq"); }

}  // namespace

Family llama_family() {
  return {.model_type = "llama",
          .architecture = "LlamaForCausalLM",
          .tokens = {.bos = 1, .eod = {2}},
          .read = [](ConfigFields& config) { return read_llama_like(config, Kind::llama); },
          .take = take_llama,
          .harmless = is_harmless};
}

Family mistral_family() {
  return {.model_type = "mistral",
          .architecture = "MistralForCausalLM",
          .tokens = {.bos = 1, .eod = {2}},
          .read = [](ConfigFields& config) { return read_llama_like(config, Kind::mistral); },
          .take = take_llama,
          .harmless = is_harmless};
}

Family qwen2_family() {
  return {.model_type = "qwen2",
          .architecture = "Qwen2ForCausalLM",
          .tokens = {},
          .read = [](ConfigFields& config) { return read_llama_like(config, Kind::qwen2); },
          .take = take_llama};
}

Family qwen3_family() {
  return {.model_type = "qwen3",
          .architecture = "Qwen3ForCausalLM",
          .tokens = {},
          .read = [](ConfigFields& config) { return read_llama_like(config, Kind::qwen3); },
          .take = take_llama};
}

}  // namespace gridmill::convert_detail
