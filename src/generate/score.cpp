#include "gridmill/generate/score.hpp"

#include <algorithm>

#include "generate/pass_plan_detail.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill {

namespace {

void check_rows(std::span<const std::vector<TokenId>> rows, const BatchState& state,
                std::int64_t vocab_size) {
  if (rows.size() > static_cast<std::size_t>(state.slots())) {
    throw UsageError(fmt::format("{} rows do not fit {} slots", rows.size(), state.slots()));
  }
  for (const std::vector<TokenId>& row : rows) {
    if (row.empty()) throw UsageError("a row to score needs at least one token");
    for (const TokenId id : row) {
      if (id < 0 || id >= vocab_size) {
        throw UsageError(
            fmt::format("token id {} is outside the vocabulary [0, {})", id, vocab_size));
      }
    }
  }
}

/// Feeds the first `lengths[r]` tokens of every row in passes that all wanted rows leave through
/// `run_pass(spans)`, until every rank of the group is done.
template <typename RunPass>
void feed_rows(std::span<const std::vector<TokenId>> rows, const std::vector<std::int64_t>& lengths,
               BatchState& state, Exchange& lockstep, std::int64_t pass_rows,
               const RunPass& run_pass) {
  for (std::size_t row = 0; row < rows.size(); ++row) state.reset(static_cast<SlotId>(row));
  for (;;) {
    std::vector<std::int64_t> pending;
    bool more = false;
    for (std::size_t row = 0; row < rows.size(); ++row) {
      pending.push_back(lengths[row] - state.position(static_cast<SlotId>(row)));
      more = more || pending.back() > 0;
    }
    if (!lockstep.any(more)) return;
    const std::vector<std::int64_t> shares = generate_detail::share_pass(pending, pass_rows);
    std::vector<RowSpan> spans;
    for (std::size_t row = 0; row < rows.size(); ++row) {
      if (shares[row] == 0) continue;
      const std::int32_t position = state.position(static_cast<SlotId>(row));
      spans.push_back(
          {.slot = static_cast<SlotId>(row),
           .position = position,
           .tokens = std::span(rows[row]).subspan(static_cast<std::size_t>(position),
                                                  static_cast<std::size_t>(shares[row])),
           .want = LogitsWanted::all,
           .allowed_length = static_cast<std::int64_t>(rows[row].size())});
    }
    run_pass(spans);
  }
}

}  // namespace

std::vector<ScoredRow> score(const Model& model, ExecutionContext& context,
                             ParameterSource& parameters, BatchState& state, Exchange& lockstep,
                             std::span<const std::vector<TokenId>> rows,
                             const ScoreOptions& options) {
  const std::int64_t vocab_size = model.info().vocab_size;
  check_rows(rows, state, vocab_size);
  std::vector<ScoredRow> scored(rows.size());
  std::vector<std::int64_t> lengths;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    scored[row].logprobs.push_back(0);  // nothing predicts the first token
    lengths.push_back(static_cast<std::int64_t>(rows[row].size()) - 1);  // nothing follows the last
  }
  feed_rows(
      rows, lengths, state, lockstep, options.pass_rows, [&](const std::vector<RowSpan>& spans) {
        std::vector<SelectRow> wanted;
        for (const RowSpan& span : spans) {
          for (std::size_t i = 0; i < span.tokens.size(); ++i) {
            const std::size_t next = static_cast<std::size_t>(span.position) + i + 1;
            wanted.push_back({.plan = {.temperature = 0, .key = {}},
                              .target = rows[static_cast<std::size_t>(span.slot)][next]});
          }
        }
        std::vector<Choice> choices;
        model.forward(context, spans, state, parameters, {.rows = wanted, .choices = &choices});
        auto choice = choices.begin();
        for (const RowSpan& span : spans) {
          ScoredRow& row = scored[static_cast<std::size_t>(span.slot)];
          for (std::size_t i = 0; i < span.tokens.size(); ++i, ++choice) {
            row.has_nan = row.has_nan || choice->has_nan;
            row.logprobs.push_back(choice->target_logprob);
            row.sum_logprob += static_cast<double>(choice->target_logprob);
          }
        }
      });
  if (!options.logits) return scored;

  for (std::size_t row = 0; row < rows.size(); ++row) {
    lengths[row] += 1;
    scored[row].logits = Tensor<float, 2>({lengths[row], vocab_size});
  }
  feed_rows(rows, lengths, state, lockstep, options.pass_rows,
            [&](const std::vector<RowSpan>& spans) {
              Tensor<float, 2> logits;
              model.forward(context, spans, state, parameters, {.logits = &logits});
              auto from = logits.flat().cbegin();
              for (const RowSpan& span : spans) {
                const auto count = static_cast<std::ptrdiff_t>(span.tokens.size()) * vocab_size;
                std::copy(from, from + count,
                          scored[static_cast<std::size_t>(span.slot)].logits.flat().begin() +
                              span.position * vocab_size);
                from += count;
              }
            });
  return scored;
}

}  // namespace gridmill
