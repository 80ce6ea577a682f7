#include <string>
#include <utility>

#include "model/llama/llama_parameters_detail.hpp"

namespace gridmill::model_detail {

namespace {

/// Every parameter of the checkpoint.
std::vector<ParameterSpec> stored_parameters(const LlamaConfig& config) {
  const std::int64_t V = config.common.vocab_size;
  const std::int64_t D = config.common.hidden_size;
  const std::int64_t F = config.intermediate_size;
  const std::int64_t queries = std::int64_t{config.common.heads} * config.head_dim;
  const std::int64_t keys = std::int64_t{config.kv_heads} * config.head_dim;
  std::vector<ParameterSpec> stored = {{"embedding", {V, D}}};
  for (int i = 0; i < config.common.layers; ++i) {
    const std::string prefix = "layers." + std::to_string(i) + ".";
    const auto add = [&](const char* name, std::vector<std::int64_t> shape) {
      stored.push_back({prefix + name, std::move(shape)});
    };
    add("attention_norm", {D});
    add("q", {queries, D});
    add("k", {keys, D});
    add("v", {keys, D});
    if (config.qkv_bias) {
      add("q_bias", {queries});
      add("k_bias", {keys});
      add("v_bias", {keys});
    }
    if (config.qk_norm) {
      add("q_norm", {config.head_dim});
      add("k_norm", {config.head_dim});
    }
    add("o", {D, queries});
    if (config.out_bias) add("o_bias", {D});
    add("ffn_norm", {D});
    add("gate", {F, D});
    add("up", {F, D});
    add("down", {D, F});
    if (config.mlp_bias) {
      add("gate_bias", {F});
      add("up_bias", {F});
      add("down_bias", {D});
    }
  }
  stored.push_back({"final_norm", {D}});
  if (!config.tied) stored.push_back({"head", {V, D}});
  return stored;
}

UnitSpec layer_unit(const LlamaConfig& config, TensorParallel tp, int layer,
                    LlamaLayerParts& parts) {
  const std::int64_t D = config.common.hidden_size;
  const std::int64_t F = config.intermediate_size;
  const std::int64_t Dh = config.head_dim;
  const IndexRange q = head_elements(head_slice(tp, config.common.heads), Dh);
  const IndexRange kv = head_elements(kv_head_slice(tp, config.kv_heads), Dh);
  const IndexRange hidden = reduction_slice(F, tp.size, tp.rank);
  const std::string prefix = "layers." + std::to_string(layer) + ".";
  UnitBuilder unit(prefix.substr(0, prefix.size() - 1), tp);

  parts.attention_norm = unit.whole_vector(prefix + "attention_norm", D);
  parts.qkv = unit.matrix(
      prefix + "qkv",
      {{prefix + "q", q, all_of(D)}, {prefix + "k", kv, all_of(D)}, {prefix + "v", kv, all_of(D)}},
      D);
  if (config.qkv_bias) {
    parts.qkv_bias =
        unit.vector(prefix + "qkv_bias",
                    {{prefix + "q_bias", q}, {prefix + "k_bias", kv}, {prefix + "v_bias", kv}});
  }
  if (config.qk_norm) {
    parts.q_norm = unit.whole_vector(prefix + "q_norm", Dh);
    parts.k_norm = unit.whole_vector(prefix + "k_norm", Dh);
  }
  parts.o = unit.row_parallel(prefix + "o", prefix + "o", D, config.common.heads * Dh);
  if (config.out_bias) parts.o_bias = unit.whole_vector(prefix + "o_bias", D);

  parts.ffn_norm = unit.whole_vector(prefix + "ffn_norm", D);
  parts.gate_up =
      unit.matrix(prefix + "gate_up",
                  {{prefix + "gate", hidden, all_of(D)}, {prefix + "up", hidden, all_of(D)}}, D,
                  Fuse::interleave);
  parts.down = unit.row_parallel(prefix + "down", prefix + "down", D, F);
  if (config.mlp_bias) {
    parts.gate_up_bias = unit.vector(
        prefix + "gate_up_bias", {{prefix + "gate_bias", hidden}, {prefix + "up_bias", hidden}});
    parts.down_bias = unit.whole_vector(prefix + "down_bias", D);
  }
  return unit.take();
}

}  // namespace

LlamaParameters llama_parameters(const LlamaConfig& config, TensorParallel tp) {
  check_tensor_parallel(tp, config.common.heads, config.head_dim);
  const std::int64_t D = config.common.hidden_size;
  const IndexRange ids = vocabulary_slice(config.common.vocab_size, tp.size, tp.rank);

  LlamaParameters result;
  ModelParameters& parameters = result.parameters;
  parameters.stored = stored_parameters(config);
  parameters.embedding_ids = ids;
  if (!config.tied) {
    UnitBuilder embedding("embedding", tp);
    embedding.matrix("embedding", {{"embedding", ids, all_of(D)}}, D, Fuse::concatenate,
                     MatrixLayout::rows);
    parameters.units.push_back(embedding.take());
  }
  result.first_layer = static_cast<UnitId>(parameters.units.size());
  for (int i = 0; i < config.common.layers; ++i) {
    parameters.units.push_back(layer_unit(config, tp, i, result.layer));
  }
  UnitBuilder head("head", tp);
  result.head = head.matrix("head", {{config.tied ? "embedding" : "head", ids, all_of(D)}}, D);
  result.final_norm = head.whole_vector("final_norm", D);
  parameters.units.push_back(head.take());
  // A tied model looks token rows up in the head.
  parameters.embedding_unit =
      config.tied ? static_cast<UnitId>(parameters.units.size()) - 1 : UnitId{0};
  return result;
}

}  // namespace gridmill::model_detail
