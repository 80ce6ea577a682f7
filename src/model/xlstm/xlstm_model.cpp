#include <utility>

#include "model/layers/decoder_detail.hpp"
#include "model/xlstm/mlstm_block_detail.hpp"
#include "model/xlstm/xlstm_model_detail.hpp"

namespace gridmill::model_detail {

XlstmModel::XlstmModel(XlstmConfig config) : config_(std::move(config)) {
  // Every layer has its parameters at the same places: one tells them all.
  XlstmConfig single = config_;
  single.common.layers = 1;
  const XlstmParameters whole = xlstm_parameters(single, {});
  parts_ = whole.layer;
  first_layer_ = whole.first_layer;
  head_ = {.weight = whole.head,
           .norm_weight = whole.final_norm,
           .norm_bias = whole.final_norm_bias,
           .norm_kind = config_.norm,
           .norm_eps = config_.final_norm_eps,
           .soft_cap = config_.common.logit_soft_cap,
           .vocab_size = config_.common.vocab_size};
  info_ = {.family = "xlstm",
           .vocab_size = config_.common.vocab_size,
           .model_limit = config_.common.max_length,
           .eod_ids = config_.common.eod_ids,
           .bos_id = config_.common.bos_id,
           .recurrent = true};
}

ModelParameters XlstmModel::parameters(int tp_size, int tp_rank) const {
  return xlstm_parameters(config_, {tp_size, tp_rank}).parameters;
}

std::unique_ptr<BatchState> XlstmModel::make_pooled_state(ExecutionContext& context, int slots,
                                                          std::int64_t max_length,
                                                          std::int64_t /*pool_positions*/) const {
  const TensorParallel tp{context.tp.size(), context.tp.rank()};
  check_tensor_parallel(tp, config_.common.heads, config_.v_dim / config_.common.heads);
  if (slots < 0 || max_length < 1) {
    throw UsageError("a state needs 0 or more slots of at least 1 token");
  }
  const MlstmWidths widths = mlstm_widths(config_, tp);
  constexpr std::int64_t kNoLimit = 0;  // a state of fixed size holds a sequence of any length
  return std::make_unique<DecoderState<MlstmState>>(
      context.backend,
      context.backend.make_mlstm_state({.layers = config_.common.layers,
                                        .heads = widths.heads,
                                        .qk_dim = widths.qk_dim,
                                        .v_dim = widths.v_dim,
                                        .slots = slots}),
      slots, kNoLimit);
}

std::size_t XlstmModel::state_bytes_per_slot(int tp_size, std::int64_t /*max_length*/,
                                             DType /*compute_dtype*/) const {
  const MlstmWidths widths = mlstm_widths(config_, {tp_size, 0});
  const std::int64_t numbers =
      std::int64_t{widths.qk_dim} * widths.v_dim + widths.qk_dim + 1;  // C, n and m of a head
  return static_cast<std::size_t>(numbers * widths.heads * config_.common.layers) * sizeof(float);
}

void XlstmModel::forward(ExecutionContext& context, std::span<const RowSpan> spans,
                         BatchState& state, ParameterSource& parameters,
                         const HeadRequest& head) const {
  DecoderState<MlstmState>& own = state_of<MlstmState>(state);
  const DecoderPlan plan{.vocab_size = config_.common.vocab_size,
                         .hidden_size = config_.common.hidden_size,
                         .first_layer = first_layer_,
                         .layers = config_.common.layers,
                         .head = head_};
  const auto run_layer = [&](const Pass& pass, int index, const UnitWeights& weights) {
    const XlstmLayer layer{.config = config_,
                           .parts = parts_,
                           .pass = pass,
                           .weights = weights,
                           .state = own.cache(),
                           .index = index};
    if (config_.older) {
      older_mlstm_block(layer);
    } else {
      mlstm_block(layer);
    }
    if (config_.ffn != FeedForward::none) feed_forward_block(layer);
  };
  run_decoder(plan, context, spans, own.memory(), parameters, head, run_layer);
}

}  // namespace gridmill::model_detail
