#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "convert/hugging_face_detail.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill::convert_detail {

namespace {

std::string activation_of(ConfigFields& config) {
  const std::string name = config.text("hidden_act", "silu");
  if (name == "silu" || name == "swish") return "silu";
  config.fail("hidden_act", "is \"" + name + "\": this activation is unsupported; expected silu");
}

double theta_of(ConfigFields& config, ConfigFields* rope) {
  constexpr double kDefaultTheta = 10000.0;
  const double outer = config.positive("rope_theta", kDefaultTheta);
  return rope == nullptr ? outer : rope->positive("rope_theta", outer);
}

/// transformers 5 writes rope_parameters, transformers 4 rope_theta and rope_scaling.
Json rotary_of(ConfigFields& config) {
  const Json* scaling = config.value("rope_scaling");
  const Json* parameters = config.value("rope_parameters");
  if (scaling != nullptr && parameters != nullptr && *scaling != *parameters) {
    config.fail("rope_scaling", "contradicts rope_parameters; leave one of them");
  }
  const Json* found = scaling != nullptr ? scaling : parameters;
  if (found == nullptr) return {{"type", "default"}, {"theta", theta_of(config, nullptr)}};

  ConfigFields rope(*found, config.where() + ": rotary settings");
  // Old files say "type"; transformers 5 may leave out the default.
  std::optional<std::string> fallback;
  if (rope.given("type")) fallback = rope.text("type");
  if (!fallback && found == parameters) fallback = "default";
  const std::string type = rope.text("rope_type", fallback);
  Json rotary = {{"type", type}, {"theta", theta_of(config, &rope)}};
  rope.refuse({"partial_rotary_factor"}, true);
  if (type == "default") {
    rope.ignore(
        {"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"});
  } else if (type == "linear") {
    rotary["factor"] = rope.positive("factor");
    rope.ignore({"original_max_position_embeddings"});
  } else if (type == "llama3") {
    rotary["factor"] = rope.positive("factor");
    rotary["low_freq_factor"] = rope.positive("low_freq_factor");
    rotary["high_freq_factor"] = rope.positive("high_freq_factor");
    rotary["original_max_position"] = rope.size("original_max_position_embeddings");
    if (rotary["high_freq_factor"] <= rotary["low_freq_factor"]) {
      rope.fail("high_freq_factor", "must be larger than low_freq_factor");
    }
  } else {
    rope.fail("rope_type", "is \"" + type +
                               "\": this rotary embedding is unsupported; supported are default, "
                               "linear and llama3");
  }
  for (const std::string& name : rope.unread()) {
    rope.fail(name, "of the rotary embedding is unsupported");
  }
  return rotary;
}

/// Which layers of Qwen models look through the window; transformers 4 counts layers, 5 lists them.
std::vector<bool> sliding_layers(ConfigFields& config, std::int64_t layers, bool windowed,
                                 std::int64_t first_windowed) {
  std::vector<bool> sliding(static_cast<std::size_t>(layers), false);
  const Json* types = config.value("layer_types");
  if (types == nullptr) {
    for (std::int64_t layer = first_windowed; layer < layers && windowed; ++layer) {
      sliding[static_cast<std::size_t>(layer)] = true;
    }
    return sliding;
  }
  if (!types->is_array() || types->size() != static_cast<std::size_t>(layers)) {
    config.fail("layer_types", fmt::format("is no list of {} layer types", layers));
  }
  for (std::size_t layer = 0; layer < types->size(); ++layer) {
    const Json& type = (*types)[layer];
    if (type == "sliding_attention") {
      if (!windowed) {
        config.fail("layer_types", fmt::format("asks for sliding_attention in layer {}, but "
                                               "sliding_window is off",
                                               layer));
      }
      sliding[layer] = true;
    } else if (type != "full_attention") {
      config.fail("layer_types",
                  fmt::format("has {} in layer {}: this is unsupported; supported "
                              "are full_attention and sliding_attention",
                              type.dump(-1, ' ', true, Json::error_handler_t::replace), layer));
    }
  }
  return sliding;
}

/// Window of every layer, 0 = none; [] if no layer has one. Defaults: those of transformers.
Json windows_of(ConfigFields& config, HuggingFaceFamily family, std::int64_t layers) {
  constexpr std::int64_t kDefaultWindow = 4096;
  constexpr std::int64_t kDefaultFullLayers = 28;
  const bool qwen = family == HuggingFaceFamily::qwen2 || family == HuggingFaceFamily::qwen3;
  bool windowed =
      qwen ? config.flag("use_sliding_window", false) : family == HuggingFaceFamily::mistral;
  if (windowed && config.mentioned("sliding_window") && !config.given("sliding_window")) {
    windowed = false;  // null
  }
  config.ignore({"sliding_window", "max_window_layers"});
  const std::int64_t window = windowed ? config.size("sliding_window", kDefaultWindow) : 0;
  const std::int64_t first =
      qwen && windowed ? config.integer("max_window_layers", kDefaultFullLayers) : 0;
  if (first < 0) config.fail("max_window_layers", "is negative");
  Json windows = Json::array();
  bool any = false;
  for (const bool sliding : sliding_layers(config, layers, windowed, first)) {
    windows.push_back(sliding ? window : 0);
    any = any || sliding;
  }
  return any ? windows : Json::array();
}

/// Longest sequence, as transformers assumes it when the field is missing.
std::int64_t default_max_positions(HuggingFaceFamily family) {
  if (family == HuggingFaceFamily::llama) return 2048;
  if (family == HuggingFaceFamily::mistral) return 131072;
  return 32768;
}

void ignore_or_refuse_rest(ConfigFields& config) {
  ignore_common_fields(config);
  config.ignore({"attention_dropout", "pretraining_tp", "rope_theta", "is_llama_config"});
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
}

}  // namespace

Json llama_model(ConfigFields& config, HuggingFaceFamily family) {
  const std::int64_t heads = config.size("num_attention_heads");
  const std::int64_t hidden_size = config.size("hidden_size");
  const std::int64_t kv_heads = config.size("num_key_value_heads", heads);
  const std::int64_t layers = config.size("num_hidden_layers");
  if (!config.given("head_dim") && hidden_size % heads != 0) {
    config.fail("hidden_size", fmt::format("is {}, which {} heads do not divide, and head_dim is "
                                           "missing",
                                           hidden_size, heads));
  }
  const std::int64_t head_dim = config.size("head_dim", hidden_size / heads);
  if (head_dim % 2 != 0) config.fail("head_dim", fmt::format("is {}, expected even", head_dim));
  if (heads % kv_heads != 0) {
    config.fail("num_key_value_heads",
                fmt::format("is {}, which does not divide {} heads", kv_heads, heads));
  }
  if (layers > kMostLayers) config.fail("num_hidden_layers", fmt::format("is {}", layers));

  const bool may_have_bias =
      family == HuggingFaceFamily::llama || family == HuggingFaceFamily::qwen3;
  if (!may_have_bias) config.refuse({"attention_bias"});
  if (family != HuggingFaceFamily::llama) config.refuse({"mlp_bias"});
  const bool attention_bias = may_have_bias && config.flag("attention_bias", false);

  Json model = {
      {"family", "llama"},
      {"vocab_size", config.size("vocab_size")},
      {"hidden_size", hidden_size},
      {"intermediate_size", config.size("intermediate_size")},
      {"layers", layers},
      {"heads", heads},
      {"kv_heads", kv_heads},
      {"head_dim", head_dim},
      {"norm_eps", config.positive("rms_norm_eps", 1e-6)},
      {"logit_soft_cap", 0},
      {"max_length", config.size("max_position_embeddings", default_max_positions(family))},
      {"tied", config.flag("tie_word_embeddings", false)},
      {"qkv_bias", attention_bias || family == HuggingFaceFamily::qwen2},
      {"out_bias", attention_bias},
      {"mlp_bias", family == HuggingFaceFamily::llama && config.flag("mlp_bias", false)},
      {"qk_norm", family == HuggingFaceFamily::qwen3},
      {"windows", windows_of(config, family, layers)},
      {"activation", activation_of(config)},
      {"rotary", rotary_of(config)},
  };
  ignore_or_refuse_rest(config);
  return model;
}

ParameterTake take_from_llama(const ParameterSpec& spec) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kOuter = {{
      {"embedding", "model.embed_tokens.weight"},
      {"final_norm", "model.norm.weight"},
      {"head", "lm_head.weight"},
  }};
  constexpr std::array<std::pair<std::string_view, std::string_view>, 18> kInLayer = {{
      {"attention_norm", "input_layernorm.weight"},
      {"ffn_norm", "post_attention_layernorm.weight"},
      {"q", "self_attn.q_proj.weight"},
      {"k", "self_attn.k_proj.weight"},
      {"v", "self_attn.v_proj.weight"},
      {"o", "self_attn.o_proj.weight"},
      {"q_bias", "self_attn.q_proj.bias"},
      {"k_bias", "self_attn.k_proj.bias"},
      {"v_bias", "self_attn.v_proj.bias"},
      {"o_bias", "self_attn.o_proj.bias"},
      {"q_norm", "self_attn.q_norm.weight"},
      {"k_norm", "self_attn.k_norm.weight"},
      {"gate", "mlp.gate_proj.weight"},
      {"up", "mlp.up_proj.weight"},
      {"down", "mlp.down_proj.weight"},
      {"gate_bias", "mlp.gate_proj.bias"},
      {"up_bias", "mlp.up_proj.bias"},
      {"down_bias", "mlp.down_proj.bias"},
  }};
  const auto [layer, leaf] = split_parameter_name(spec.name);
  if (layer) {
    for (const auto& [ours, theirs] : kInLayer) {
      if (leaf == ours) return take_whole(fmt::format("model.layers.{}.{}", *layer, theirs), spec);
    }
  }
  for (const auto& [ours, theirs] : kOuter) {
    if (!layer && leaf == ours) return take_whole(std::string(theirs), spec);
  }
  throw_no_source(spec.name);
}

}  // namespace gridmill::convert_detail
