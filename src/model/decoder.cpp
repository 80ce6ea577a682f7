#include "model/decoder.hpp"

#include <utility>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "model/layers/rotary.hpp"
#include "model/layers/run_layer.hpp"

namespace gridmill::model_detail {

namespace {

/// The spans of a pass in the form of the kernels, and the rows that the head reads.
struct Rows {
  std::vector<TokenSpan> spans;
  std::vector<TokenId> ids;
  std::vector<std::int64_t> wanted;
};

void check_span(const RowSpan& span, const SequenceStates& states, std::int64_t vocab_size) {
  states.check_slot(span.slot);
  const std::int32_t position = states.positions[static_cast<std::size_t>(span.slot)];
  if (span.position != position) {
    throw UsageError(
        fmt::format("slot {} has consumed {} tokens; a span at position {} cannot "
                    "follow",
                    span.slot, position, span.position));
  }
  const auto count = static_cast<std::int64_t>(span.tokens.size());
  if (states.max_length > 0 && position + count > states.max_length) {
    throw UsageError(fmt::format("slot {} has room for {} tokens, but gets {} after {}", span.slot,
                                 states.max_length, count, position));
  }
  for (const TokenId id : span.tokens) {
    if (id < 0 || id >= vocab_size) {
      throw UsageError(
          fmt::format("token id {} is outside the vocabulary [0, {})", id, vocab_size));
    }
  }
}

/// Length beyond which a row uses the long factors of longrope; 0 = none does.
std::int64_t original_length(const ModelSpec& spec) {
  double length = 0;
  for (const RotarySpec& rotary : spec.rotary) {
    if (rotary.scaling == RotaryScaling::longrope) length = rotary.original_max_position;
  }
  return static_cast<std::int64_t>(length);
}

Rows rows_of(std::span<const RowSpan> spans, const SequenceStates& states, const ModelSpec& spec) {
  const std::int64_t original = original_length(spec);
  Rows rows;
  std::vector<bool> used(states.positions.size(), false);
  for (const RowSpan& span : spans) {
    check_span(span, states, spec.vocab_size);
    if (used[static_cast<std::size_t>(span.slot)]) {
      throw UsageError(fmt::format("slot {} occurs twice in one pass", span.slot));
    }
    used[static_cast<std::size_t>(span.slot)] = true;
    if (span.tokens.empty()) continue;
    const auto first = static_cast<std::int64_t>(rows.ids.size());
    const auto count = static_cast<std::int64_t>(span.tokens.size());
    rows.spans.push_back({.slot = span.slot,
                          .position = span.position,
                          .row = first,
                          .tokens = static_cast<std::int32_t>(count),
                          .given = span.origin == Origin::given,
                          .long_row = original > 0 && span.allowed_length > original});
    rows.ids.insert(rows.ids.end(), span.tokens.begin(), span.tokens.end());
    if (span.want == LogitsWanted::last) rows.wanted.push_back(first + count - 1);
    if (span.want == LogitsWanted::all) {
      for (std::int64_t row = first; row < first + count; ++row) rows.wanted.push_back(row);
    }
  }
  return rows;
}

void check_request(const HeadRequest& request, std::size_t wanted) {
  if (wanted == 0) return;
  if (request.choices == nullptr && request.logits == nullptr) {
    throw UsageError("a pass with wanted rows needs choices or logits to fill");
  }
  if (request.choices != nullptr && request.rows.size() != wanted) {
    throw UsageError(
        fmt::format("{} rows are wanted, but {} say how to select", wanted, request.rows.size()));
  }
}

/// x = scale * x + positions[position of each row].
void add_positions(const EmbeddingSpec& spec, const Pass& pass, const Weight& table) {
  std::vector<TokenId> positions(static_cast<std::size_t>(pass.x.rows));
  for (const TokenSpan& span : pass.spans) {
    for (std::int32_t t = 0; t < span.tokens; ++t) {
      positions[static_cast<std::size_t>(span.row + t)] = span.position + t;
    }
  }
  const DeviceMatrix rows = pass.states.workspace.matrix(pass.context.stream, Scratch::block_output,
                                                         pass.x.rows, pass.x.columns);
  pass.context.backend.embed(pass.context.stream, table, 0, positions, rows);
  pass.context.backend.scale_add(pass.context.stream, static_cast<float>(spec.scale), rows, 1,
                                 pass.x);
}

Buffer upload_table(const RotarySpec& rotary, RowLength length, ExecutionContext& context,
                    std::int64_t positions, ConstDeviceMatrix& view) {
  const std::vector<float> table = rotary_table(rotary, positions, length);
  const auto bytes = std::as_bytes(std::span(table));
  Buffer memory = context.backend.allocate(bytes.size());
  context.backend.upload(context.stream, bytes, memory.data());
  context.stream.synchronize();
  view = {reinterpret_cast<const float*>(memory.data()), positions, rotary.width, rotary.width};
  return memory;
}

/// Position-dependent constants that the states of a model carry along.
void add_rotary_tables(const ModelSpec& spec, ExecutionContext& context, SequenceStates& states) {
  for (const RotarySpec& rotary : spec.rotary) {
    RotaryTable& table = states.rotary.emplace_back();
    table.memory =
        upload_table(rotary, RowLength::within_original, context, states.max_length, table.table);
    if (rotary.scaling == RotaryScaling::longrope) {
      table.long_memory = upload_table(rotary, RowLength::beyond_original, context,
                                       states.max_length, table.long_table);
    }
  }
}

}  // namespace

Decoder::Decoder(ModelSpec spec)
    : spec_(std::move(spec)),
      states_(plan_states(spec_, {}, KvExtent::window)),
      row_states_(plan_states(spec_, {}, KvExtent::row)) {
  layout_ = layout_of(spec_, {});
  const NormSpec final_norm = spec_.head.norm.value_or(NormSpec{});
  head_ = {.weight = layout_.head.weight,
           .bias = layout_.head.bias,
           .norm_weight = layout_.final_norm.weight,
           .norm_bias = layout_.final_norm.bias,
           .norm_kind = final_norm.kind,
           .norm_eps = static_cast<float>(final_norm.eps),
           .scale = static_cast<float>(spec_.head.scale),
           .soft_cap = static_cast<float>(spec_.head.soft_cap),
           .vocab_size = spec_.vocab_size};
  bool grows = false;
  for (const StateGroup& group : states_.groups) {
    grows = grows || std::holds_alternative<KvCacheShape>(group.shape);
  }
  info_ = {.family = spec_.family,
           .vocab_size = spec_.vocab_size,
           .model_limit = spec_.max_length,
           .eod_ids = spec_.eod_ids,
           .bos_id = spec_.bos_id,
           .recurrent = !grows,
           .original_length = original_length(spec_)};
}

ModelParameters Decoder::parameters(int tp_size, int tp_rank) const {
  return layout_of(spec_, {tp_size, tp_rank}).parameters;
}

std::unique_ptr<BatchState> Decoder::make_pooled_state(ExecutionContext& context, int slots,
                                                       std::int64_t max_length,
                                                       std::int64_t pool_positions) const {
  const TensorParallel tp{context.tp.size(), context.tp.rank()};
  static_cast<void>(layout_of(spec_, tp));  // refuses what cannot be split so
  if (slots < 0 || max_length < 1) {
    throw UsageError("a state needs 0 or more slots of at least 1 token");
  }
  // States of fixed size hold a sequence of any length.
  auto states = std::make_unique<SequenceStates>(
      context.backend, plan_states(spec_, tp, kv_extent_of(context.backend)), slots,
      info_.recurrent ? 0 : max_length, pool_positions);
  if (!info_.recurrent) add_rotary_tables(spec_, context, *states);
  return states;
}

std::size_t Decoder::state_bytes_per_slot(int tp_size, std::int64_t max_length, DType compute_dtype,
                                          KvExtent extent) const {
  return state_bytes(plan_states(spec_, {tp_size, 0}, KvExtent::window), max_length, compute_dtype,
                     extent);
}

void Decoder::forward(ExecutionContext& context, std::span<const RowSpan> spans, BatchState& state,
                      ParameterSource& parameters, const HeadRequest& request) const {
  auto* own = dynamic_cast<SequenceStates*>(&state);
  const StatePlan& plan = kv_extent_of(context.backend) == KvExtent::window ? states_ : row_states_;
  if (own == nullptr || !own->fits(plan)) {
    throw UsageError("this state was made by a model of another family");
  }
  SequenceStates& states = *own;
  const Rows rows = rows_of(spans, states, spec_);
  check_request(request, rows.wanted.size());
  const auto count = static_cast<std::int64_t>(rows.ids.size());

  context.stream.begin_pass(count);
  // Gathers and exchanges below happen whatever the number of rows: other ranks take part in them.
  const bool positions = layout_.positions_unit >= 0;
  parameters.prefetch(positions ? layout_.positions_unit : layout_.first_layer);
  const Pass pass{
      .context = context,
      .states = states,
      .spans = rows.spans,
      .x = states.workspace.matrix(context.stream, Scratch::residual, count, spec_.hidden_size)};
  parameters.embed(context.stream, rows.ids, pass.x);
  if (positions) {
    const UnitLease table = parameters.acquire(layout_.positions_unit);
    parameters.prefetch(layout_.first_layer);
    if (count > 0) add_positions(spec_.embedding, pass, table->matrices[0]);
  } else if (spec_.embedding.scale != 1 && count > 0) {
    context.backend.scale_add(context.stream, static_cast<float>(spec_.embedding.scale), {}, 1,
                              pass.x);
  }
  UnitId unit = layout_.first_layer;
  for (std::size_t i = 0; i < spec_.layers.size(); ++i, ++unit) {
    const UnitLease weights = parameters.acquire(unit);
    parameters.prefetch(unit + 1);
    const Layer layer{spec_.layers[i], layout_.layers[i], plan.places[i]};
    if (count > 0) run_layer(pass, layer, *weights);
  }
  const UnitLease weights = parameters.acquire(unit);
  run_head(head_, context, states.workspace, *weights, pass.x, rows.wanted, request);
  context.stream.end_pass();
  for (const TokenSpan& span : rows.spans) {
    states.positions[static_cast<std::size_t>(span.slot)] += span.tokens;
  }
}

}  // namespace gridmill::model_detail
