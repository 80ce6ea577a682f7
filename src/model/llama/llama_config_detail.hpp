#pragma once

#include <vector>

#include "gridmill/base/json.hpp"
#include "gridmill/base/numerics.hpp"
#include "model/config_reader_detail.hpp"
#include "model/layers/rotary_detail.hpp"

namespace gridmill::model_detail {

/// Configuration of the llama family (docs/models.md).
struct LlamaConfig {
  CommonConfig common;
  int kv_heads = 0;
  int head_dim = 0;
  std::int64_t intermediate_size = 0;
  bool tied = false;
  bool qkv_bias = false;
  bool out_bias = false;
  bool mlp_bias = false;
  bool qk_norm = false;
  std::vector<std::int32_t> windows;  ///< one a layer; 0 = none
  float score_scale = 0;
  Activation activation = Activation::silu;
  Rotary rotary;
};

/// @throws FormatError
[[nodiscard]] LlamaConfig read_llama_config(const Json& json);

}  // namespace gridmill::model_detail
