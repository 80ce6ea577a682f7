#pragma once

#include "gridmill/params/parameter_spec.hpp"
#include "model/llama/llama_config_detail.hpp"
#include "model/tensor_parallel_detail.hpp"
#include "model/unit_builder_detail.hpp"

namespace gridmill::model_detail {

/// Where a layer's parameters are in its unit; the same in every layer and for every tp.
struct LlamaLayerParts {
  PartIndex qkv = -1, o = -1, gate_up = -1, down = -1;
  PartIndex attention_norm = -1, ffn_norm = -1;
  PartIndex qkv_bias = -1, o_bias = -1, gate_up_bias = -1, down_bias = -1;
  PartIndex q_norm = -1, k_norm = -1;
};

struct LlamaParameters {
  ModelParameters parameters;
  LlamaLayerParts layer;
  PartIndex head = -1;
  PartIndex final_norm = -1;
  UnitId first_layer = 0;
};

/// @throws UsageError if the model cannot be split so.
[[nodiscard]] LlamaParameters llama_parameters(const LlamaConfig& config, TensorParallel tp);

}  // namespace gridmill::model_detail
