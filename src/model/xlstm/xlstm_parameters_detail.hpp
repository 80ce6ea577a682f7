#pragma once

#include "gridmill/params/parameter_spec.hpp"
#include "model/tensor_parallel_detail.hpp"
#include "model/unit_builder_detail.hpp"
#include "model/xlstm/xlstm_config_detail.hpp"

namespace gridmill::model_detail {

/// Where a layer's parameters are in its unit; the same in every layer and for every tp.
struct XlstmLayerParts {
  PartIndex mlstm_norm = -1, mlstm_norm_bias = -1;
  PartIndex inputs = -1;       ///< mlstm_v1: q|k|v|o|i|f; older: up_x|up_z
  PartIndex inputs_bias = -1;  ///< mlstm_v1
  PartIndex q_norm = -1, k_norm = -1;
  PartIndex head_norm = -1, head_norm_bias = -1;
  PartIndex out = -1, out_bias = -1, mlstm_post_norm = -1;
  // Older layer.
  PartIndex conv = -1, conv_bias = -1, q = -1, k = -1, v = -1, skip = -1;
  PartIndex gates = -1, gates_bias = -1;  ///< i|f
  // Feed-forward.
  PartIndex ffn_norm = -1, ffn_norm_bias = -1;
  PartIndex up = -1, up_bias = -1;  ///< gate|up interleaved if gated
  PartIndex down = -1, down_bias = -1, ffn_post_norm = -1;
};

struct XlstmParameters {
  ModelParameters parameters;
  XlstmLayerParts layer;
  PartIndex head = -1;
  PartIndex final_norm = -1, final_norm_bias = -1;
  UnitId first_layer = 0;
};

/// @throws UsageError if the model cannot be split so.
[[nodiscard]] XlstmParameters xlstm_parameters(const XlstmConfig& config, TensorParallel tp);

/// Widths of one rank.
struct MlstmWidths {
  int heads = 0;
  int qk_dim = 0;  ///< of one head
  int v_dim = 0;   ///< of one head
};
[[nodiscard]] MlstmWidths mlstm_widths(const XlstmConfig& config, TensorParallel tp);

}  // namespace gridmill::model_detail
