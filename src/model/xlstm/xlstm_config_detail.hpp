#pragma once

#include "gridmill/base/json.hpp"
#include "gridmill/base/numerics.hpp"
#include "gridmill/kernels/backend.hpp"
#include "model/config_reader_detail.hpp"

namespace gridmill::model_detail {

enum class FeedForward : std::uint8_t { gated, plain, none };
/// What the gates of the older layer see: q|k|v, or one of three stages of the up-projection.
enum class GateInput : std::uint8_t { qkv, x, conv, conv_act };

/// The older, Mamba-like layer type of xlstm-jax.
struct OlderLayer {
  std::int64_t inner_size = 0;
  std::int64_t conv_kernel = 0;  ///< informative: in generation only the last tap sees data
  std::int64_t qkv_block_size = 0;
  GateInput gate_input = GateInput::qkv;
};

/// Configuration of the xlstm family (docs/models.md).
struct XlstmConfig {
  CommonConfig common;
  std::int64_t qk_dim = 0;  ///< over all heads
  std::int64_t v_dim = 0;   ///< over all heads
  bool older = false;
  OlderLayer older_layer;
  NormKind norm = NormKind::rms;
  NormKind head_norm = NormKind::layer;
  float final_norm_eps = 1e-6F;
  float denominator_eps = 1e-6F;
  float gate_soft_cap = 0;
  bool bias = false;
  bool norm_bias = false;
  bool final_norm_bias = false;
  bool final_norm = true;
  bool qk_norm = false;
  bool post_norm = false;
  FeedForward ffn = FeedForward::gated;
  std::int64_t ffn_size = 0;
  Activation activation = Activation::silu;
};

/// @throws FormatError
[[nodiscard]] XlstmConfig read_xlstm_config(const Json& json);

}  // namespace gridmill::model_detail
