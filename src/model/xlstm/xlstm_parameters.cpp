#include <string>
#include <utility>

#include "gridmill/base/error.hpp"
#include "model/xlstm/xlstm_parameters_detail.hpp"

namespace gridmill::model_detail {

namespace {

/// Inputs of the older layer's gates.
std::int64_t gate_inputs(const XlstmConfig& config) {
  return config.older_layer.gate_input == GateInput::qkv ? 3 * config.older_layer.inner_size
                                                         : config.older_layer.inner_size;
}

/// Collects parameters as the checkpoint stores them.
class StoredLayer {
 public:
  StoredLayer(std::vector<ParameterSpec>& stored, std::string prefix)
      : stored_(stored), prefix_(std::move(prefix)) {}

  void add(const std::string& name, std::vector<std::int64_t> shape) {
    stored_.push_back({prefix_ + name, std::move(shape)});
  }
  /// A matrix, and its bias if asked.
  void linear(const std::string& name, std::int64_t outputs, std::int64_t inputs, bool bias) {
    add(name, {outputs, inputs});
    if (bias) add(name + "_bias", {outputs});
  }
  void norm(const std::string& name, std::int64_t size, bool bias) {
    add(name, {size});
    if (bias) add(name + "_bias", {size});
  }

 private:
  std::vector<ParameterSpec>& stored_;
  std::string prefix_;
};

void store_cell(const XlstmConfig& config, StoredLayer& layer) {
  const std::int64_t D = config.common.hidden_size;
  const std::int64_t H = config.common.heads;
  if (config.older) {
    const std::int64_t I = config.older_layer.inner_size;
    layer.linear("up_x", I, D, false);
    layer.linear("up_z", I, D, false);
    layer.norm("conv", I, true);
    for (const char* name : {"q", "k", "v"}) {
      layer.add(name, {I * config.older_layer.qkv_block_size});
    }
    layer.linear("i_gate", H, gate_inputs(config), true);
    layer.linear("f_gate", H, gate_inputs(config), true);
    layer.add("skip", {I});
  } else {
    layer.linear("q", config.qk_dim, D, config.bias);
    layer.linear("k", config.qk_dim, D, config.bias);
    layer.linear("v", config.v_dim, D, config.bias);
    layer.linear("o_gate", config.v_dim, D, config.bias);
    layer.linear("i_gate", H, D, true);
    layer.linear("f_gate", H, D, true);
  }
  if (config.qk_norm) {
    layer.add("q_norm", {config.qk_dim / H});
    layer.add("k_norm", {config.qk_dim / H});
  }
  layer.norm("head_norm", config.v_dim, config.norm_bias);
  layer.linear("out", D, config.v_dim, config.bias);
}

std::vector<ParameterSpec> stored_parameters(const XlstmConfig& config) {
  const std::int64_t D = config.common.hidden_size;
  const std::int64_t F = config.ffn_size;
  std::vector<ParameterSpec> stored = {{"embedding", {config.common.vocab_size, D}}};
  for (int i = 0; i < config.common.layers; ++i) {
    StoredLayer layer(stored, "layers." + std::to_string(i) + ".");
    layer.norm("mlstm_norm", D, config.norm_bias);
    store_cell(config, layer);
    if (config.post_norm) layer.add("mlstm_post_norm", {D});
    if (config.ffn == FeedForward::none) continue;
    layer.norm("ffn_norm", D, config.norm_bias);
    if (config.ffn == FeedForward::gated) layer.linear("gate", F, D, config.bias);
    layer.linear("up", F, D, config.bias);
    layer.linear("down", D, F, config.bias);
    if (config.post_norm) layer.add("ffn_post_norm", {D});
  }
  if (config.final_norm) {
    StoredLayer(stored, "").norm("final_norm", D, config.final_norm_bias);
  }
  stored.push_back({"head", {config.common.vocab_size, D}});
  return stored;
}

/// The unit of one layer, part by part.
class LayerUnit {
 public:
  LayerUnit(const XlstmConfig& config, TensorParallel tp, int layer, XlstmLayerParts& parts)
      : config_(config),
        tp_(tp),
        D_(config.common.hidden_size),
        prefix_("layers." + std::to_string(layer) + "."),
        unit_("layers." + std::to_string(layer), tp),
        parts_(parts) {}

  UnitSpec build() {
    norm("mlstm_norm", config_.norm_bias, parts_.mlstm_norm, parts_.mlstm_norm_bias);
    if (config_.older) {
      older_cell();
    } else {
      cell();
    }
    if (config_.qk_norm) {
      parts_.q_norm = whole("q_norm", config_.qk_dim / config_.common.heads);
      parts_.k_norm = whole("k_norm", config_.qk_dim / config_.common.heads);
    }
    const IndexRange values = values_of_rank();
    parts_.head_norm = unit_.vector(prefix_ + "head_norm", {{prefix_ + "head_norm", values}});
    if (config_.norm_bias) {
      parts_.head_norm_bias =
          unit_.vector(prefix_ + "head_norm_bias", {{prefix_ + "head_norm_bias", values}});
    }
    parts_.out = unit_.row_parallel(prefix_ + "out", prefix_ + "out", D_, config_.v_dim);
    if (config_.bias) parts_.out_bias = whole("out_bias", D_);
    if (config_.post_norm) parts_.mlstm_post_norm = whole("mlstm_post_norm", D_);
    if (config_.ffn != FeedForward::none) feed_forward();
    return unit_.take();
  }

 private:
  PartIndex whole(const std::string& name, std::int64_t size) {
    return unit_.whole_vector(prefix_ + name, size);
  }
  void norm(const std::string& name, bool bias, PartIndex& weight, PartIndex& bias_part) {
    weight = whole(name, D_);
    if (bias) bias_part = whole(name + "_bias", D_);
  }
  [[nodiscard]] IndexRange heads_of_rank() const { return head_slice(tp_, config_.common.heads); }
  [[nodiscard]] IndexRange values_of_rank() const {
    return head_elements(heads_of_rank(), config_.v_dim / config_.common.heads);
  }
  /// Biases of a linear layer, or zeros where this model has none.
  [[nodiscard]] VectorPart bias_part(const std::string& name, IndexRange rows) const {
    if (!config_.bias) return {"", {0, rows.count}};
    return {prefix_ + name + "_bias", rows};
  }

  void cell() {
    const IndexRange heads = heads_of_rank();
    const IndexRange keys = head_elements(heads, config_.qk_dim / config_.common.heads);
    const IndexRange values = values_of_rank();
    parts_.inputs = unit_.matrix(prefix_ + "mlstm_inputs",
                                 {{prefix_ + "q", keys, all_of(D_)},
                                  {prefix_ + "k", keys, all_of(D_)},
                                  {prefix_ + "v", values, all_of(D_)},
                                  {prefix_ + "o_gate", values, all_of(D_)},
                                  {prefix_ + "i_gate", heads, all_of(D_)},
                                  {prefix_ + "f_gate", heads, all_of(D_)}},
                                 D_);
    parts_.inputs_bias =
        unit_.vector(prefix_ + "mlstm_inputs_bias", {bias_part("q", keys),
                                                     bias_part("k", keys),
                                                     bias_part("v", values),
                                                     bias_part("o_gate", values),
                                                     {prefix_ + "i_gate_bias", heads},
                                                     {prefix_ + "f_gate_bias", heads}});
  }

  void older_cell() {
    const std::int64_t I = config_.older_layer.inner_size;
    const std::int64_t H = config_.common.heads;
    const IndexRange columns = all_of(gate_inputs(config_));
    parts_.inputs = unit_.matrix(
        prefix_ + "up_xz",
        {{prefix_ + "up_x", all_of(I), all_of(D_)}, {prefix_ + "up_z", all_of(I), all_of(D_)}}, D_);
    parts_.conv = whole("conv", I);
    parts_.conv_bias = whole("conv_bias", I);
    const std::int64_t blocks = I * config_.older_layer.qkv_block_size;
    parts_.q = whole("q", blocks);
    parts_.k = whole("k", blocks);
    parts_.v = whole("v", blocks);
    parts_.gates = unit_.matrix(
        prefix_ + "gates",
        {{prefix_ + "i_gate", all_of(H), columns}, {prefix_ + "f_gate", all_of(H), columns}},
        columns.count);
    parts_.gates_bias =
        unit_.vector(prefix_ + "gates_bias",
                     {{prefix_ + "i_gate_bias", all_of(H)}, {prefix_ + "f_gate_bias", all_of(H)}});
    parts_.skip = whole("skip", I);
  }

  void feed_forward() {
    const IndexRange hidden = reduction_slice(config_.ffn_size, tp_.size, tp_.rank);
    norm("ffn_norm", config_.norm_bias, parts_.ffn_norm, parts_.ffn_norm_bias);
    if (config_.ffn == FeedForward::gated) {
      parts_.up = unit_.matrix(
          prefix_ + "gate_up",
          {{prefix_ + "gate", hidden, all_of(D_)}, {prefix_ + "up", hidden, all_of(D_)}}, D_,
          Fuse::interleave);
      if (config_.bias) {
        parts_.up_bias = unit_.vector(prefix_ + "gate_up_bias", {{prefix_ + "gate_bias", hidden},
                                                                 {prefix_ + "up_bias", hidden}});
      }
    } else {
      parts_.up = unit_.matrix(prefix_ + "up", {{prefix_ + "up", hidden, all_of(D_)}}, D_);
      if (config_.bias) {
        parts_.up_bias = unit_.vector(prefix_ + "up_bias", {{prefix_ + "up_bias", hidden}});
      }
    }
    parts_.down = unit_.row_parallel(prefix_ + "down", prefix_ + "down", D_, config_.ffn_size);
    if (config_.bias) parts_.down_bias = whole("down_bias", D_);
    if (config_.post_norm) parts_.ffn_post_norm = whole("ffn_post_norm", D_);
  }

  const XlstmConfig& config_;
  TensorParallel tp_;
  std::int64_t D_;
  std::string prefix_;
  UnitBuilder unit_;
  XlstmLayerParts& parts_;
};

}  // namespace

MlstmWidths mlstm_widths(const XlstmConfig& config, TensorParallel tp) {
  return {.heads = static_cast<int>(head_slice(tp, config.common.heads).count),
          .qk_dim = static_cast<int>(config.qk_dim / config.common.heads),
          .v_dim = static_cast<int>(config.v_dim / config.common.heads)};
}

XlstmParameters xlstm_parameters(const XlstmConfig& config, TensorParallel tp) {
  check_tensor_parallel(tp, config.common.heads, config.v_dim / config.common.heads);
  if (config.older && tp.size > 1) {
    throw UsageError("layer_type \"mlstm\" cannot be split: its gates see every head; use tp = 1");
  }
  const std::int64_t D = config.common.hidden_size;
  const IndexRange ids = vocabulary_slice(config.common.vocab_size, tp.size, tp.rank);

  XlstmParameters result;
  ModelParameters& parameters = result.parameters;
  parameters.stored = stored_parameters(config);
  parameters.embedding_ids = ids;
  parameters.embedding_unit = 0;
  UnitBuilder embedding("embedding", tp);
  embedding.matrix("embedding", {{"embedding", ids, all_of(D)}}, D, Fuse::concatenate,
                   MatrixLayout::rows);
  parameters.units.push_back(embedding.take());
  result.first_layer = 1;
  for (int i = 0; i < config.common.layers; ++i) {
    parameters.units.push_back(LayerUnit(config, tp, i, result.layer).build());
  }
  UnitBuilder head("head", tp);
  result.head = head.matrix("head", {{"head", ids, all_of(D)}}, D);
  if (config.final_norm) result.final_norm = head.whole_vector("final_norm", D);
  if (config.final_norm_bias) result.final_norm_bias = head.whole_vector("final_norm_bias", D);
  parameters.units.push_back(head.take());
  return result;
}

}  // namespace gridmill::model_detail
