#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "gridmill/base/json.hpp"
#include "support/tiny_specs.hpp"

namespace gridmill::test {

/// A configuration small enough for unit tests, and its name.
struct TinyModel {
  std::string name;
  Json config;
};
inline void PrintTo(const TinyModel& model, std::ostream* out) { *out << model.name; }

inline Json llama_config() {
  return Json::parse(R"({"family": "llama", "vocab_size": 300, "hidden_size": 24, "layers": 2,
    "heads": 8, "kv_heads": 4, "head_dim": 4, "intermediate_size": 52, "norm_eps": 1e-5,
    "max_length": 128, "bos_id": 1, "eod_ids": [2],
    "rotary": {"type": "default", "theta": 10000.0}})");
}

/// Every switch on: biases, q/k norm, tied head, a window, scaled rotation, a soft cap.
inline Json llama_full_config() {
  Json config = llama_config();
  config.update(Json::parse(R"({"kv_heads": 2, "tied": true, "qkv_bias": true, "out_bias": true,
    "mlp_bias": true, "qk_norm": true, "windows": [0, 5], "score_scale": 0.4,
    "logit_soft_cap": 20.0,
    "rotary": {"type": "llama3", "theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
               "high_freq_factor": 4.0, "original_max_position": 16}})"));
  return config;
}

inline Json xlstm_config() {
  return Json::parse(R"({"family": "xlstm", "vocab_size": 300, "hidden_size": 24, "layers": 2,
    "heads": 8, "norm_eps": 1e-6, "qk_dim": 24, "v_dim": 32, "gate_soft_cap": 15.0,
    "logit_soft_cap": 30.0, "ffn_size": 52})");
}

/// Every switch on or away from its default.
inline Json xlstm_full_config() {
  Json config = xlstm_config();
  config.update(Json::parse(R"({"norm": "layer", "head_norm": "rms", "final_norm_eps": 1e-5,
    "denominator_eps": 1e-4, "gate_soft_cap": 4.0, "bias": true, "norm_bias": true,
    "final_norm_bias": true, "qk_norm": true, "post_norm": true, "ffn": "plain",
    "activation": "gelu_tanh"})"));
  return config;
}

/// No final norm, no feed-forward, no caps.
inline Json xlstm_bare_config() {
  Json config = xlstm_config();
  config.erase("ffn_size");
  config.update(Json::parse(R"({"ffn": "none", "final_norm": false, "gate_soft_cap": 0.0,
    "logit_soft_cap": 0.0})"));
  return config;
}

/// The older layer type of xlstm-jax.
inline Json xlstm_older_config(const std::string& gate_input = "qkv") {
  Json config = xlstm_bare_config();
  config.update(Json::parse(R"({"layer_type": "mlstm", "heads": 4, "qk_dim": 32, "v_dim": 32,
    "inner_size": 32, "conv_kernel": 4, "qkv_block_size": 4, "final_norm": true,
    "norm": "layer"})"));
  config["gate_input"] = gate_input;
  return config;
}

inline std::vector<TinyModel> tiny_models() {
  return {{"llama", llama_config()},
          {"llama_full", llama_full_config()},
          {"xlstm", xlstm_config()},
          {"xlstm_full", xlstm_full_config()},
          {"xlstm_bare", xlstm_bare_config()},
          {"xlstm_older", xlstm_older_config()},
          {"xlstm_older_conv", xlstm_older_config("conv")},
          {"sandwich", sandwich_config()},
          {"parallel", parallel_config()},
          {"biased_head", biased_head_config()},
          {"whole_norm", whole_norm_config()},
          {"hybrid", hybrid_config()},
          {"mamba", mamba_config()},
          {"delta", delta_config()},
          {"beside", beside_config()},
          {"slstm", slstm_config()}};
}

/// Those with recurrent layers other than mLSTM, which not every backend runs.
inline std::vector<TinyModel> recurrent_models() {
  std::vector<TinyModel> models = tiny_models();
  std::erase_if(models, [](const TinyModel& model) {
    return model.name != "mamba" && model.name != "delta" && model.name != "beside" &&
           model.name != "slstm";
  });
  return models;
}

/// Those that a tp group can share.
inline std::vector<TinyModel> splittable_models() {
  std::vector<TinyModel> models = tiny_models();
  std::erase_if(models, [](const TinyModel& model) {
    return model.config.value("layer_type", "") == "mlstm" || model.name == "whole_norm" ||
           model.name == "slstm";
  });
  return models;
}

}  // namespace gridmill::test
