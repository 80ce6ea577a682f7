#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "convert/gguf/gguf.hpp"
#include "convert/gguf/gguf_keys.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

// Keys of GGUF as fields of config.json. Source: docs/gguf.md of ggml and constants.py of its
// Python package.
namespace gridmill::convert_detail {

namespace {

constexpr std::array kArchitectures = {
    GgufArchitecture{"llama", "llama", true},
    GgufArchitecture{"granite", "granite", true},
    GgufArchitecture{"smollm3", "smollm3", true},
    GgufArchitecture{"qwen2", "qwen2"},
    GgufArchitecture{"qwen3", "qwen3"},
    GgufArchitecture{"qwen2moe", "qwen2_moe"},
    GgufArchitecture{"qwen3moe", "qwen3_moe"},
    GgufArchitecture{"gemma", "gemma"},
    GgufArchitecture{"gemma2", "gemma2"},
    GgufArchitecture{"gemma3", "gemma3_text"},
    GgufArchitecture{"phi2", "phi", false, "layer_norm_eps"},
    GgufArchitecture{"phi3", "phi3"},
    GgufArchitecture{"olmo2", "olmo2"},
    GgufArchitecture{"starcoder2", "starcoder2", false, "norm_epsilon"},
};

std::vector<double> values_of(const ForeignTensors& tensors, const char* name, std::int64_t count) {
  const ForeignTensor* found = tensors.find(name);
  if (found == nullptr || element_count(found->shape()) != count) {
    throw FormatError(fmt::format("tensor {} is missing or has not {} elements", name, count));
  }
  std::vector<float> values(static_cast<std::size_t>(count));
  found->read(0, values);
  std::vector<double> decimals;
  decimals.reserve(values.size());
  for (const float value : values) decimals.push_back(shortest_decimal(value));
  return decimals;
}

/// Llama 3.1 stores what its scaling divides the frequencies by: 1 for short waves, `factor` for
/// long ones, and between them a blend. The rule with Llama's own lengths is taken where it gives
/// the same factors again; else the factors are, in the form of longrope.
Json factored_rotary(const std::vector<double>& factors, double theta) {
  constexpr double kLowFrequency = 1;
  constexpr double kHighFrequency = 4;
  constexpr double kOriginal = 8192;
  const double factor = *std::max_element(factors.begin(), factors.end());
  const auto pairs = static_cast<double>(factors.size());
  bool follows = true;
  for (std::size_t i = 0; i < factors.size(); ++i) {
    const double wave = 2 * M_PI * std::pow(theta, static_cast<double>(i) / pairs);
    double expected = 1;
    if (wave > kOriginal / kLowFrequency) {
      expected = factor;
    } else if (wave > kOriginal / kHighFrequency) {
      const double blend = (kOriginal / wave - kLowFrequency) / (kHighFrequency - kLowFrequency);
      expected = 1 / ((1 - blend) / factor + blend);
    }
    follows = follows && std::abs(factors[i] - expected) <= 1e-4 * expected;
  }
  if (!follows) {
    return {{"rope_type", "longrope"},
            {"short_factor", factors},
            {"long_factor", factors},
            {"attention_factor", 1},
            {"factor", 1}};
  }
  return {{"rope_type", "llama3"},
          {"factor", factor},
          {"low_freq_factor", kLowFrequency},
          {"high_freq_factor", kHighFrequency},
          {"original_max_position_embeddings", kOriginal}};
}

/// The scaling of rotary frequencies as rope_scaling.
void set_rotary_scaling(GgufKeys& keys, const ForeignTensors& tensors, std::int64_t width,
                        Json& config) {
  const std::int64_t max_length = config["max_position_embeddings"].get<std::int64_t>();
  const std::int64_t original = keys.size("rope.scaling.original_context_length", max_length);
  // As in llama.cpp: without a type it is linear, and rope.scale_linear is an old name.
  std::string kind = keys.text("rope.scaling.type", "linear");
  const std::string factor_key =
      keys.find("rope.scaling.factor") == nullptr ? "rope.scale_linear" : "rope.scaling.factor";
  const double factor = keys.number(factor_key, 1);
  const auto refuse_factor = [&](const std::string& beside) {
    if (factor != 0 && factor != 1) {
      keys.fail(factor_key, fmt::format("is {} beside {}, which is unsupported", factor, beside));
    }
  };
  if (tensors.contains("rope_factors_long.weight")) {
    if (kind == "linear" || kind == "none") kind = "longrope";
    refuse_factor("tensor rope_factors_long.weight");
  } else if (tensors.contains("rope_freqs.weight")) {
    if (kind == "linear" || kind == "none") kind = "factors";
    refuse_factor("tensor rope_freqs.weight");
  }
  if (kind != "longrope") keys.refuse("rope.scaling.attn_factor", {1});
  if (kind == "longrope" && tensors.contains("rope_factors_long.weight")) {
    config["original_max_position_embeddings"] = original;
    config["rope_scaling"] = {
        {"rope_type", "longrope"},
        {"short_factor", values_of(tensors, "rope_factors_short.weight", width / 2)},
        {"long_factor", values_of(tensors, "rope_factors_long.weight", width / 2)},
        {"attention_factor", keys.number("rope.scaling.attn_factor", 1)}};
  } else if (kind == "factors") {
    config["rope_scaling"] = factored_rotary(values_of(tensors, "rope_freqs.weight", width / 2),
                                             config["rope_theta"].get<double>());
  } else if (kind == "linear") {
    if (factor != 0 && factor != 1) {
      config["rope_scaling"] = {{"rope_type", "linear"}, {"factor", factor}};
    }
  } else if (kind == "yarn" && !tensors.contains("rope_freqs.weight") &&
             !tensors.contains("rope_factors_long.weight")) {
    config["rope_scaling"] = {
        {"rope_type", "yarn"}, {"factor", factor}, {"original_max_position_embeddings", original}};
    keys.copy("rope.scaling.yarn_beta_fast", config["rope_scaling"], "beta_fast");
    keys.copy("rope.scaling.yarn_beta_slow", config["rope_scaling"], "beta_slow");
    keys.refuse("rope.scaling.yarn_ext_factor", {1});
  } else if (kind == "none") {
    refuse_factor("rope.scaling.type \"none\"");
  } else {
    keys.fail("rope.scaling.type", "is \"" + kind + "\", which is unsupported here");
  }
}

void set_rotary(GgufKeys& keys, const ForeignTensors& tensors, std::int64_t head_width,
                Json& config) {
  config["rope_theta"] = keys.number("rope.freq_base", 10000);
  const std::int64_t width = keys.size("rope.dimension_count", head_width);
  if (width > head_width) {
    keys.fail("rope.dimension_count",
              fmt::format("is {}, but a head has {} components", width, head_width));
  }
  if (width != head_width) {
    // The reader multiplies by the width of a head and cuts: a little more, against roundings.
    config["partial_rotary_factor"] =
        (static_cast<double>(width) + 0.25) / static_cast<double>(head_width);
  }
  set_rotary_scaling(keys, tensors, width, config);
}

/// @param normalised  the weights of the chosen experts sum to 1 in this family
void refuse_other_experts(GgufKeys& keys, bool normalised) {
  keys.refuse("expert_weights_scale", {0, 1});
  keys.refuse("expert_weights_norm", {normalised});
  // 0: the architecture's own, which is the softmax in those that are read; 1: softmax.
  keys.refuse("expert_gating_func", {0, 1});
}

void set_experts(GgufKeys& keys, Json& config) {
  config["num_experts_per_tok"] = keys.size("expert_used_count");
  const std::string type = config["model_type"].get<std::string>();
  refuse_other_experts(keys, type != "qwen2_moe");
  if (type == "mixtral") {
    config["num_local_experts"] = keys.size("expert_count");
    return;
  }
  config["num_experts"] = keys.size("expert_count");
  config["moe_intermediate_size"] = keys.size("expert_feed_forward_length");
  config["norm_topk_prob"] = type != "qwen2_moe";
  if (type == "qwen2_moe") {
    config["shared_expert_intermediate_size"] = keys.size("expert_shared_feed_forward_length");
  }
}

constexpr const char* kWindow = "attention.sliding_window";
constexpr const char* kPattern = "attention.sliding_window_pattern";

/// Which layers of Gemma 2 and 3 have the window, if the file has the key: a flag for each layer,
/// or a period p, whose last layer has full attention (0: every layer has the window).
void set_window_pattern(GgufKeys& keys, Json& config) {
  const Json* pattern = keys.find(kPattern);
  if (pattern == nullptr) return;
  const auto layers = config["num_hidden_layers"].get<std::int64_t>();
  Json types = Json::array();
  const auto add = [&types](bool slides) {
    types.push_back(slides ? "sliding_attention" : "full_attention");
  };
  if (pattern->is_array()) {
    for (const Json& flag : *pattern) {
      if (!flag.is_boolean()) keys.fail(kPattern, "holds something else than flags");
      add(flag.get<bool>());
    }
    if (types.size() != static_cast<std::size_t>(layers)) {
      keys.fail(kPattern, fmt::format("has {} flags for {} layers", types.size(), layers));
    }
  } else {
    const std::int64_t period = *pattern == 0 ? 0 : keys.size(kPattern);
    // The reader refuses more layers.
    for (std::int64_t layer = 0; layer < std::min(layers, kMostLayers); ++layer) {
      add(period == 0 || layer % period < period - 1);
    }
  }
  config["layer_types"] = std::move(types);
}

void set_windows(GgufKeys& keys, Json& config) {
  const std::string type = config["model_type"].get<std::string>();
  const bool gemma = type == "gemma2" || type == "gemma3_text";
  if (!gemma && type != "phi3" && type != "starcoder2") {
    keys.refuse(kWindow, {0});
    return;
  }
  if (const Json* window = keys.find(kWindow)) {
    config["sliding_window"] = *window == 0 ? Json() : *window;
  } else if (type == "gemma3_text") {
    keys.fail(
        kWindow,
        "is missing; the models of this family have different windows, so there is no default");
  } else if (type == "gemma2") {
    keys.warn(kWindow, "is missing; the family's window of 4096 tokens is taken");
  } else {
    keys.warn(kWindow,
              "is missing; every layer gets full attention, which differs from a model of this "
              "family that has a window");
  }
  if (!gemma) return;
  set_window_pattern(keys, config);
  if (keys.find(kWindow) != nullptr && *keys.find(kWindow) == 0) config.erase("layer_types");
}

void set_gemma(GgufKeys& keys, Json& config) {
  // The largest models of generations 2 and 3 scale scores by the width of the model, not of a
  // head.
  const std::string type = config["model_type"].get<std::string>();
  const std::int64_t layers = config["num_hidden_layers"].get<std::int64_t>();
  const bool largest =
      (type == "gemma2" && layers == 46) || (type == "gemma3_text" && layers == 62);
  if (type != "gemma") {
    config["query_pre_attn_scalar"] =
        largest ? config["hidden_size"].get<double>() / config["num_attention_heads"].get<double>()
                : config["head_dim"].get<double>();
    // Without a key the family's default holds: 50 and 30 in Gemma 2, none in Gemma 3.
    keys.copy("attn_logit_softcapping", config, "attn_logit_softcapping");
    keys.copy("final_logit_softcapping", config, "final_logit_softcapping");
  }
  if (type == "gemma3_text") {
    config["rope_local_base_freq"] = keys.number("rope.freq_base_swa", 10000);
  }
}

void set_granite(GgufKeys& keys, Json& config) {
  // Two multipliers of 1 may be left out. The others have another default in llama.cpp than in a
  // config.json.
  keys.copy("embedding_scale", config, "embedding_multiplier");
  keys.copy("residual_scale", config, "residual_multiplier");
  for (const auto& [key, field] : {std::pair("attention.scale", "attention_multiplier"),
                                   std::pair("logit_scale", "logits_scaling")}) {
    if (!keys.copy(key, config, field)) keys.fail(key, "is missing");
  }
  // In this architecture: whether there are rotary embeddings at all.
  keys.refuse("rope.scaling.finetuned", {true});
}

}  // namespace

const GgufArchitecture& gguf_architecture(const GgufFile& file) {
  const auto found = file.metadata.find("general.architecture");
  if (found == file.metadata.end() || !found->is_string()) {
    throw FormatError(file.path + ": key general.architecture is missing or no text");
  }
  const std::string name = found->get<std::string>();
  std::string list;
  for (const GgufArchitecture& one : kArchitectures) {
    if (one.name == name) return one;
    list += (list.empty() ? "" : ", ") + std::string(one.name);
  }
  throw FormatError(
      fmt::format("{}: key general.architecture is \"{}\": this architecture is unsupported in "
                  "GGUF files; supported are {}",
                  file.path, name, list));
}

Json gguf_config(const GgufFile& file, const GgufArchitecture& architecture,
                 const ForeignTensors& tensors) {
  GgufKeys keys(file, architecture.name);
  Json config = {{"model_type", architecture.model_type}};
  const bool experts = keys.find("expert_count") != nullptr && *keys.find("expert_count") != 0;
  if (experts && architecture.model_type == "llama") config["model_type"] = "mixtral";
  config["hidden_size"] = keys.size("embedding_length");
  config["num_hidden_layers"] = keys.size("block_count");
  config["intermediate_size"] = keys.size("feed_forward_length");
  config["num_attention_heads"] = keys.size("attention.head_count");
  config["max_position_embeddings"] = keys.size("context_length");
  const std::int64_t heads = config["num_attention_heads"].get<std::int64_t>();
  config["num_key_value_heads"] = keys.size("attention.head_count_kv", heads);
  const std::int64_t head_width =
      keys.size("attention.key_length",
                std::max<std::int64_t>(1, config["hidden_size"].get<std::int64_t>() / heads));
  if (keys.size("attention.value_length", head_width) != head_width) {
    keys.fail("attention.value_length", "differs from attention.key_length: this is unsupported");
  }
  config["head_dim"] = head_width;
  const bool rms = std::string_view(architecture.norm_eps_field) == "rms_norm_eps";
  const char* eps = rms ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon";
  if (!keys.copy(eps, config, architecture.norm_eps_field)) keys.fail(eps, "is missing");
  config["tie_word_embeddings"] = !tensors.contains("output.weight");
  const ForeignTensor* embedding = tensors.find("token_embd.weight");
  if (embedding == nullptr || embedding->shape().size() != 2) {
    throw FormatError(file.path + ": tensor token_embd.weight is missing or no matrix");
  }
  config["vocab_size"] = embedding->shape()[0];
  const auto id = [&](const char* key) -> Json {
    const auto found = file.metadata.find(std::string("tokenizer.ggml.") + key);
    const bool is_id = found != file.metadata.end() && found->is_number_integer();
    return is_id ? *found : Json();
  };
  config["bos_token_id"] = id("bos_token_id");
  config["eos_token_id"] = Json::array();
  for (const char* key : {"eos_token_id", "eot_token_id", "eom_token_id"}) {
    const Json end = id(key);
    Json& ends = config["eos_token_id"];
    if (!end.is_null() && std::find(ends.begin(), ends.end(), end) == ends.end()) {
      ends.push_back(end);
    }
  }
  keys.refuse("attention.causal", {true});
  // The rows of q and k as Meta's files have them: pairs side by side.
  if (architecture.interleaved) keys.refuse("tensor_data_layout", {"Meta AI original pth"});
  set_rotary(keys, tensors, head_width, config);
  set_windows(keys, config);
  if (experts) set_experts(keys, config);
  const std::string type = config["model_type"].get<std::string>();
  const bool qkv_bias = tensors.contains("blk.0.attn_q.bias");
  if (type == "llama" || type == "granite" || type == "qwen3") config["attention_bias"] = qkv_bias;
  if (type == "llama" || type == "granite") {
    config["mlp_bias"] = tensors.contains("blk.0.ffn_up.bias");
  }
  if (type == "starcoder2") config["use_bias"] = qkv_bias;
  if (type == "granite") set_granite(keys, config);
  if (type.starts_with("gemma")) set_gemma(keys, config);
  keys.refuse_unread();
  return config;
}

}  // namespace gridmill::convert_detail
