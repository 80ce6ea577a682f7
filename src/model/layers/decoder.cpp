#include <optional>

#include "gridmill/base/format.hpp"
#include "model/layers/decoder_detail.hpp"

namespace gridmill::model_detail {

namespace {

/// The spans of a pass as kernels want them, and which of its rows the head sees.
struct Rows {
  std::vector<TokenSpan> spans;
  std::vector<TokenId> ids;
  std::vector<std::int64_t> wanted;
};

void check_span(const RowSpan& span, const SlotMemory& memory, std::int64_t vocab_size) {
  memory.check_slot(span.slot);
  const std::int32_t position = memory.positions[static_cast<std::size_t>(span.slot)];
  if (span.position != position) {
    throw UsageError(
        fmt::format("slot {} has consumed {} tokens; a span at position {} cannot "
                    "follow",
                    span.slot, position, span.position));
  }
  const auto count = static_cast<std::int64_t>(span.tokens.size());
  if (memory.max_length > 0 && position + count > memory.max_length) {
    throw UsageError(fmt::format("slot {} has room for {} tokens, but gets {} after {}", span.slot,
                                 memory.max_length, count, position));
  }
  for (const TokenId id : span.tokens) {
    if (id < 0 || id >= vocab_size) {
      throw UsageError(
          fmt::format("token id {} is outside the vocabulary [0, {})", id, vocab_size));
    }
  }
}

Rows rows_of(std::span<const RowSpan> spans, const SlotMemory& memory, std::int64_t vocab_size) {
  Rows rows;
  std::vector<bool> used(memory.positions.size(), false);
  for (const RowSpan& span : spans) {
    check_span(span, memory, vocab_size);
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
                          .given = span.origin == Origin::given});
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
  if ((request.choices != nullptr) == (request.logits != nullptr)) {
    throw UsageError("a pass with wanted rows needs either choices or logits to fill");
  }
  if (request.choices != nullptr && request.rows.size() != wanted) {
    throw UsageError(
        fmt::format("{} rows are wanted, but {} say how to select", wanted, request.rows.size()));
  }
}

}  // namespace

void SlotMemory::check_slot(SlotId slot) const {
  if (slot < 0 || static_cast<std::size_t>(slot) >= positions.size()) {
    throw UsageError(fmt::format("slot {} does not exist; there are {}", slot, positions.size()));
  }
}

void run_decoder(const DecoderPlan& plan, ExecutionContext& context, std::span<const RowSpan> spans,
                 SlotMemory& memory, ParameterSource& parameters, const HeadRequest& request,
                 const LayerFunction& layer) {
  const Rows rows = rows_of(spans, memory, plan.vocab_size);
  check_request(request, rows.wanted.size());
  const auto count = static_cast<std::int64_t>(rows.ids.size());

  context.stream.begin_pass(count);
  // Gathers and exchanges below happen whatever the number of rows: other ranks take part in them.
  parameters.prefetch(plan.first_layer);
  const Pass pass{
      .context = context,
      .workspace = memory.workspace,
      .spans = rows.spans,
      .x = memory.workspace.matrix(context.stream, Scratch::residual, count, plan.hidden_size)};
  parameters.embed(context.stream, rows.ids, pass.x);
  for (int index = 0; index < plan.layers; ++index) {
    const UnitId unit = plan.first_layer + index;
    const UnitLease weights = parameters.acquire(unit);
    parameters.prefetch(unit + 1);
    if (count > 0) layer(pass, index, *weights);
  }
  const UnitLease weights = parameters.acquire(plan.first_layer + plan.layers);
  run_head(plan.head, context, memory.workspace, *weights, pass.x, rows.wanted, request);
  context.stream.end_pass();
  for (const TokenSpan& span : rows.spans) {
    memory.positions[static_cast<std::size_t>(span.slot)] += span.tokens;
  }
}

}  // namespace gridmill::model_detail
