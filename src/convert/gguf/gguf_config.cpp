#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "convert/gguf/gguf.hpp"
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

/// Reads the keys of an architecture and remembers which.
class Keys {
 public:
  Keys(const GgufFile& file, std::string_view architecture)
      : file_(file), prefix_(std::string(architecture) + ".") {}

  [[nodiscard]] const Json* find(const std::string& name) {
    read_.insert(prefix_ + name);
    const auto found = file_.metadata.find(prefix_ + name);
    return found == file_.metadata.end() ? nullptr : &*found;
  }
  /// Copies a key to a field of another name. @return whether it is there
  bool copy(const std::string& name, Json& config, const char* field) {
    const Json* found = find(name);
    if (found != nullptr) config[field] = *found;
    return found != nullptr;
  }
  std::int64_t size(const std::string& name, std::optional<std::int64_t> fallback = std::nullopt) {
    constexpr std::int64_t kLargest = std::int64_t{1} << 31;
    const Json* found = find(name);
    if (found == nullptr && fallback) return *fallback;
    if (found == nullptr) fail(name, "is missing");
    if (!found->is_number_integer() || *found < 1 || *found > kLargest) {
      fail(name, fmt::format("is {}, expected 1 to {}", shown(*found), kLargest));
    }
    return found->get<std::int64_t>();
  }
  double number(const std::string& name, double fallback) {
    const Json* found = find(name);
    if (found == nullptr) return fallback;
    if (!found->is_number() || !std::isfinite(found->get<double>())) {
      fail(name, "is " + shown(*found) + ", expected a number");
    }
    return found->get<double>();
  }
  void ignore(std::initializer_list<const char*> names) {
    for (const char* name : names) read_.insert(prefix_ + name);
  }
  /// Unread keys of the architecture may change the computation of the model.
  void refuse_unread() const {
    for (const auto& [key, value] : file_.metadata.items()) {
      if (!key.starts_with(prefix_) || read_.contains(key)) continue;
      const bool off = value == 0 || value == false || value.empty();
      if (!off) {
        fail(key.substr(prefix_.size()),
             "is " + shown(value) + ": gridmill does not know what it means, so it is unsupported");
      }
    }
  }
  [[noreturn]] void fail(const std::string& name, const std::string& problem) const {
    throw FormatError(fmt::format("{}: key {}{} {}", file_.path, prefix_, name, problem));
  }

 private:
  const GgufFile& file_;
  std::string prefix_;
  std::set<std::string> read_;

  static std::string shown(const Json& value) {
    constexpr std::size_t kLongest = 80;
    const std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
    return text.size() > kLongest ? text.substr(0, kLongest) + "..." : text;
  }
};

std::vector<double> values_of(const ForeignTensors& tensors, const char* name, std::int64_t count) {
  const ForeignTensor* found = tensors.find(name);
  if (found == nullptr || element_count(found->shape()) != count) {
    throw FormatError(fmt::format("tensor {} is missing or has not {} elements", name, count));
  }
  std::vector<float> values(static_cast<std::size_t>(count));
  found->read(0, values);
  std::vector<double> decimals;
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

void set_rotary(Keys& keys, const ForeignTensors& tensors, std::int64_t head_width, Json& config) {
  const double theta = keys.number("rope.freq_base", 10000);
  config["rope_theta"] = theta;
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
  const Json* type = keys.find("rope.scaling.type");
  const std::string kind =
      type != nullptr && type->is_string() ? type->get<std::string>() : std::string("none");
  const std::int64_t max_length = config["max_position_embeddings"].get<std::int64_t>();
  const std::int64_t original = keys.size("rope.scaling.original_context_length", max_length);
  const double factor = keys.number("rope.scaling.factor", 1);
  const double magnitude = keys.number("rope.scaling.attn_factor", 1);
  keys.ignore({"rope.scaling.finetuned"});
  if (tensors.contains("rope_factors_long.weight")) {
    config["original_max_position_embeddings"] = original;
    config["rope_scaling"] = {
        {"rope_type", "longrope"},
        {"short_factor", values_of(tensors, "rope_factors_short.weight", width / 2)},
        {"long_factor", values_of(tensors, "rope_factors_long.weight", width / 2)},
        {"attention_factor", magnitude}};
  } else if (tensors.contains("rope_freqs.weight")) {
    config["rope_scaling"] =
        factored_rotary(values_of(tensors, "rope_freqs.weight", width / 2), theta);
  } else if (kind == "linear") {
    config["rope_scaling"] = {{"rope_type", "linear"}, {"factor", factor}};
  } else if (kind == "yarn") {
    config["rope_scaling"] = {
        {"rope_type", "yarn"}, {"factor", factor}, {"original_max_position_embeddings", original}};
  } else if (kind != "none") {
    keys.fail("rope.scaling.type", "is \"" + kind + "\", which is unsupported here");
  }
}

void set_experts(Keys& keys, Json& config) {
  config["num_experts_per_tok"] = keys.size("expert_used_count");
  const std::string type = config["model_type"].get<std::string>();
  if (type == "mixtral") {
    config["num_local_experts"] = keys.size("expert_count");
    return;
  }
  config["num_experts"] = keys.size("expert_count");
  config["moe_intermediate_size"] = keys.size("expert_feed_forward_length");
  keys.ignore({"expert_weights_scale", "expert_weights_norm", "expert_gating_func"});
  if (type == "qwen3_moe") config["norm_topk_prob"] = true;
  if (type == "qwen2_moe") {
    config["norm_topk_prob"] = false;
    config["shared_expert_intermediate_size"] = keys.size("expert_shared_feed_forward_length");
  }
}

void set_gemma(Keys& keys, Json& config) {
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
    if (!keys.copy("attn_logit_softcapping", config, "attn_logit_softcapping")) {
      config["attn_logit_softcapping"] = nullptr;
    }
    if (!keys.copy("final_logit_softcapping", config, "final_logit_softcapping")) {
      config["final_logit_softcapping"] = nullptr;
    }
  }
  if (type == "gemma3_text") {
    config["rope_local_base_freq"] = keys.number("rope.freq_base_swa", 10000);
    // One layer of six sees everything; newer files say so.
    if (const Json* pattern = keys.find("attention.sliding_window_pattern");
        pattern != nullptr && pattern->is_number_integer()) {
      config["sliding_window_pattern"] = *pattern;
    }
  }
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
  Keys keys(file, architecture.name);
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
  keys.ignore({"vocab_size", "rope.freq_base_train", "attention.causal"});
  set_rotary(keys, tensors, head_width, config);
  if (const Json* window = keys.find("attention.sliding_window")) {
    config["sliding_window"] = *window == 0 ? Json() : *window;
  }
  if (experts) set_experts(keys, config);
  const std::string type = config["model_type"].get<std::string>();
  const bool qkv_bias = tensors.contains("blk.0.attn_q.bias");
  if (type == "llama" || type == "granite" || type == "qwen3") config["attention_bias"] = qkv_bias;
  if (type == "llama" || type == "granite") {
    config["mlp_bias"] = tensors.contains("blk.0.ffn_up.bias");
  }
  if (type == "starcoder2") config["use_bias"] = qkv_bias;
  if (type == "granite") {
    keys.copy("embedding_scale", config, "embedding_multiplier");
    keys.copy("residual_scale", config, "residual_multiplier");
    keys.copy("attention.scale", config, "attention_multiplier");
    keys.copy("logit_scale", config, "logits_scaling");
  }
  if (type.starts_with("gemma")) set_gemma(keys, config);
  keys.refuse_unread();
  return config;
}

}  // namespace gridmill::convert_detail
