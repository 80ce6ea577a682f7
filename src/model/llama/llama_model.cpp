#include <utility>

#include "model/layers/decoder_detail.hpp"
#include "model/layers/row_parallel_detail.hpp"
#include "model/llama/llama_model_detail.hpp"

namespace gridmill::model_detail {

LlamaModel::LlamaModel(LlamaConfig config) : config_(std::move(config)) {
  // Every layer has its parameters at the same places: one tells them all.
  LlamaConfig single = config_;
  single.common.layers = 1;
  const LlamaParameters whole = llama_parameters(single, {});
  parts_ = whole.layer;
  head_ = whole.head;
  final_norm_ = whole.final_norm;
  first_layer_ = whole.first_layer;
  info_ = {.family = "llama",
           .vocab_size = config_.common.vocab_size,
           .model_limit = config_.common.max_length,
           .eod_ids = config_.common.eod_ids,
           .bos_id = config_.common.bos_id,
           .recurrent = false};
}

ModelParameters LlamaModel::parameters(int tp_size, int tp_rank) const {
  return llama_parameters(config_, {tp_size, tp_rank}).parameters;
}

std::unique_ptr<BatchState> LlamaModel::make_pooled_state(ExecutionContext& context, int slots,
                                                          std::int64_t max_length,
                                                          std::int64_t pool_positions) const {
  const TensorParallel tp{context.tp.size(), context.tp.rank()};
  check_tensor_parallel(tp, config_.common.heads, config_.head_dim);
  if (slots < 0 || max_length < 1) {
    throw UsageError("a state needs 0 or more slots of at least 1 token");
  }
  auto state = std::make_unique<DecoderState<KvCache>>(
      context.backend,
      context.backend.make_kv_cache(
          {.layers = config_.common.layers,
           .kv_heads = static_cast<int>(kv_head_slice(tp, config_.kv_heads).count),
           .head_dim = config_.head_dim,
           .slots = slots,
           .max_length = max_length,
           .pool_positions = pool_positions}),
      slots, max_length);
  const std::vector<float> table = rotary_table(config_.rotary, config_.head_dim, max_length);
  const auto bytes = std::as_bytes(std::span(table));
  state->constants = context.backend.allocate(bytes.size());
  context.backend.upload(context.stream, bytes, state->constants.data());
  context.stream.synchronize();
  return state;
}

std::size_t LlamaModel::state_bytes_per_slot(int tp_size, std::int64_t max_length,
                                             DType compute_dtype) const {
  const std::int64_t kv_heads = kv_head_slice({tp_size, 0}, config_.kv_heads).count;
  return static_cast<std::size_t>(2 * max_length * config_.common.layers * kv_heads *
                                  config_.head_dim) *
         size_of(compute_dtype);
}

void LlamaModel::forward(ExecutionContext& context, std::span<const RowSpan> spans,
                         BatchState& state, ParameterSource& parameters,
                         const HeadRequest& head) const {
  DecoderState<KvCache>& own = state_of<KvCache>(state);
  const TensorParallel tp{context.tp.size(), context.tp.rank()};
  const int heads = static_cast<int>(head_slice(tp, config_.common.heads).count);
  const int kv_heads = static_cast<int>(kv_head_slice(tp, config_.kv_heads).count);
  const std::int64_t Dh = config_.head_dim;
  const std::int64_t hidden = reduction_slice(config_.intermediate_size, tp.size, tp.rank).count;
  const ConstDeviceMatrix rotary{reinterpret_cast<const float*>(own.constants.data()),
                                 own.memory().max_length, Dh, Dh};

  const auto layer = [&](const Pass& pass, int index, const UnitWeights& weights) {
    Backend& backend = context.backend;
    Stream& stream = context.stream;
    const auto matrix = [&](PartIndex part) -> const Weight& {
      return weights.matrices[static_cast<std::size_t>(part)];
    };
    const auto vector = [&](PartIndex part) { return vector_or_none(weights, part); };
    const auto norm = [&](PartIndex weight) {
      return Norm{.kind = NormKind::rms,
                  .eps = config_.common.norm_eps,
                  .weight = vector(weight),
                  .bias = {}};
    };
    const std::int64_t rows = pass.x.rows;
    const PackedRows normed = pass.workspace.packed(stream, Scratch::normed, rows, pass.x.columns);

    backend.norm_pack(stream, pass.x, norm(parts_.attention_norm), {}, normed);
    const DeviceMatrix qkv =
        pass.workspace.matrix(stream, Scratch::projected, rows, (heads + 2 * kv_heads) * Dh);
    backend.linear(stream, normed, matrix(parts_.qkv), vector(parts_.qkv_bias), 0, qkv);
    const PackedRows mixed = pass.workspace.packed(stream, Scratch::mixed, rows, heads * Dh);
    const Attention attention{.heads = heads,
                              .kv_heads = kv_heads,
                              .head_dim = config_.head_dim,
                              .scale = config_.score_scale,
                              .window = config_.windows[static_cast<std::size_t>(index)],
                              .q_norm = vector(parts_.q_norm),
                              .k_norm = vector(parts_.k_norm),
                              .norm_eps = config_.common.norm_eps,
                              .rotary = rotary};
    backend.attend(stream, pass.spans, attention, index, qkv, own.cache(), mixed);
    row_parallel_product(context, pass.workspace, mixed, matrix(parts_.o), vector(parts_.o_bias),
                         true, pass.x);

    backend.norm_pack(stream, pass.x, norm(parts_.ffn_norm), {}, normed);
    const PackedRows units = pass.workspace.packed(stream, Scratch::hidden, rows, hidden);
    backend.linear_gated(stream, normed, matrix(parts_.gate_up), vector(parts_.gate_up_bias),
                         config_.activation, units);
    row_parallel_product(context, pass.workspace, units, matrix(parts_.down),
                         vector(parts_.down_bias), true, pass.x);
  };

  const DecoderPlan plan{.vocab_size = config_.common.vocab_size,
                         .hidden_size = config_.common.hidden_size,
                         .first_layer = first_layer_,
                         .layers = config_.common.layers,
                         .head = {.weight = head_,
                                  .norm_weight = final_norm_,
                                  .norm_bias = -1,
                                  .norm_kind = NormKind::rms,
                                  .norm_eps = config_.common.norm_eps,
                                  .soft_cap = config_.common.logit_soft_cap,
                                  .vocab_size = config_.common.vocab_size}};
  run_decoder(plan, context, spans, own.memory(), parameters, head, layer);
}

}  // namespace gridmill::model_detail
