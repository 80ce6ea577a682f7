#include "model/layers/selection.hpp"

#include <algorithm>
#include <array>

#include "gridmill/sampling/filter.hpp"

namespace gridmill::model_detail {

namespace {

bool keeps_logits(const SelectRow& row) { return row.top > 0 || row.plan.needs_logits(); }

/// Results of every rank of the tp group, one rank behind the other, on the host.
template <typename T>
std::vector<T> gather(ExecutionContext& context, Workspace& workspace, Scratch scratch, T* mine,
                      std::size_t count) {
  const auto tp_size = static_cast<std::size_t>(context.tp.size());
  const std::size_t bytes = count * sizeof(T);
  auto* whole = reinterpret_cast<std::byte*>(mine);
  if (tp_size > 1) {
    whole = workspace.bytes(context.stream, scratch, bytes * tp_size);
    context.tp.all_gather(context.stream, reinterpret_cast<std::byte*>(mine), bytes, whole);
  }
  std::vector<T> all(count * tp_size);
  context.backend.download(context.stream, whole, std::as_writable_bytes(std::span(all)));
  context.stream.synchronize();
  return all;
}

/// Rows whose logits were kept, and what is found out about them.
class SecondStage {
 public:
  SecondStage(ExecutionContext& context, Workspace& workspace, const SelectionHead& head,
              DeviceMatrix logits)
      : context_(context), workspace_(workspace), vocab_size_(head.vocab_size) {
    kept_.logits = logits;
    kept_.first_id = head.ids.first;
    kept_.block_keys = scratch<std::uint32_t>(
        Scratch::block_keys, static_cast<std::size_t>(logits.rows * kept_.blocks()));
  }

  /// The `count` most likely ids of each row (0 = none), by the unchanged logits.
  std::vector<std::vector<RankedToken>> most_likely(std::span<const std::int32_t> counts);
  /// Applies the rules and draws. The logits are the adjusted ones from now on.
  std::vector<Drawn> draw(std::span<const SamplingPlan> plans);

 private:
  template <typename T>
  T* scratch(Scratch what, std::size_t count) {
    // One byte at least: a rank may hold no id.
    return reinterpret_cast<T*>(
        workspace_.bytes(context_.stream, what, std::max<std::size_t>(count * sizeof(T), 1)));
  }
  /// Results of an operation that gives `count` of them, from every rank.
  template <typename T, typename Operation>
  std::vector<T> results(std::size_t count, const Operation& operation) {
    T* mine = scratch<T>(Scratch::filter_results, count);
    operation(mine);
    return gather(context_, workspace_, Scratch::filter_gathered, mine, count);
  }
  std::vector<LogitPeak> adjust(std::span<const SamplingPlan> plans);
  /// Passes until every search is done.
  void finish(std::vector<FilterSearch>& searches);

  ExecutionContext& context_;
  Workspace& workspace_;
  std::int64_t vocab_size_;
  KeptLogits kept_;
};

std::vector<LogitPeak> SecondStage::adjust(std::span<const SamplingPlan> plans) {
  const std::size_t rows = plans.size();
  kept_.rule_logits =
      scratch<float>(Scratch::rule_logits, static_cast<std::size_t>(rule_offsets(plans).back()));
  const std::vector<LogitPeak> of_ranks = results<LogitPeak>(rows, [&](LogitPeak* peaks) {
    context_.backend.adjust_logits(context_.stream, plans, kept_, peaks);
  });
  std::vector<LogitPeak> peaks(rows);
  for (std::size_t i = 0; i < of_ranks.size(); ++i) peaks[i % rows].add(of_ranks[i]);
  return peaks;
}

void SecondStage::finish(std::vector<FilterSearch>& searches) {
  std::vector<CountPass> passes;
  while (true) {
    passes.clear();
    for (std::size_t row = 0; row < searches.size(); ++row) {
      if (searches[row].done()) continue;
      passes.push_back(searches[row].pass());
      passes.back().index = static_cast<std::int32_t>(row);
    }
    if (passes.empty()) return;
    std::vector<FilterBins> bins = results<FilterBins>(passes.size(), [&](FilterBins* mine) {
      context_.backend.count_logits(context_.stream, passes, kept_, mine);
    });
    for (std::size_t i = passes.size(); i < bins.size(); ++i) {
      bins[i % passes.size()].add(bins[i]);
    }
    for (std::size_t pass = 0; pass < passes.size(); ++pass) {
      searches[static_cast<std::size_t>(passes[pass].index)].take(bins[pass]);
    }
  }
}

std::vector<std::vector<RankedToken>> SecondStage::most_likely(
    std::span<const std::int32_t> counts) {
  const std::size_t rows = counts.size();
  const std::int32_t most = *std::max_element(counts.begin(), counts.end());
  std::vector<SamplingPlan> plans(rows);
  for (std::size_t row = 0; row < rows; ++row) plans[row].top_k = counts[row];
  const std::vector<LogitPeak> peaks = adjust(plans);
  std::vector<FilterSearch> searches;
  for (std::size_t row = 0; row < rows; ++row) {
    searches.push_back(FilterSearch::most_likely(counts[row], vocab_size_, peaks[row]));
  }
  finish(searches);
  std::vector<FilterRow> filters;
  filters.reserve(rows);
  for (const FilterSearch& search : searches) filters.push_back(search.kept());
  const auto width = static_cast<std::size_t>(most);
  const std::vector<RankedToken> listed =
      results<RankedToken>(rows * width, [&](RankedToken* mine) {
        context_.backend.list_logits(context_.stream, filters, kept_, most, mine);
      });
  std::vector<std::vector<RankedToken>> ranked(rows);
  for (std::size_t i = 0; i < listed.size(); ++i) {
    if (listed[i].id >= 0) ranked[i / width % rows].push_back(listed[i]);
  }
  for (std::size_t row = 0; row < rows; ++row) {
    std::sort(ranked[row].begin(), ranked[row].end(),
              [](const RankedToken& left, const RankedToken& right) {
                const std::uint32_t left_key = order_key(left.logit);
                const std::uint32_t right_key = order_key(right.logit);
                return left_key != right_key ? left_key > right_key : left.id < right.id;
              });
    ranked[row].resize(std::min(ranked[row].size(), static_cast<std::size_t>(counts[row])));
  }
  return ranked;
}

std::vector<Drawn> SecondStage::draw(std::span<const SamplingPlan> plans) {
  const std::size_t rows = plans.size();
  const std::vector<LogitPeak> peaks = adjust(plans);
  std::vector<FilterSearch> searches;
  for (std::size_t row = 0; row < rows; ++row) {
    searches.emplace_back(plans[row], vocab_size_, peaks[row]);
  }
  finish(searches);
  std::vector<DrawPass> passes;
  for (std::size_t row = 0; row < rows; ++row) {
    passes.push_back({plans[row], searches[row].kept()});
  }
  const std::vector<Drawn> of_ranks = results<Drawn>(rows, [&](Drawn* mine) {
    context_.backend.draw_logits(context_.stream, passes, kept_, mine);
  });
  std::vector<Drawn> drawn(rows);
  for (std::size_t i = 0; i < of_ranks.size(); ++i) take_better(drawn[i % rows], of_ranks[i]);
  return drawn;
}

/// First stage: what each row's logits are like, of the whole vocabulary.
std::vector<SelectPartial> first_stage(const SelectionHead& head, ExecutionContext& context,
                                       Workspace& workspace, const PackedRows& packed,
                                       std::span<const SelectRow> rows, DeviceMatrix kept) {
  const int tp_size = context.tp.size();
  const auto groups = static_cast<std::size_t>(kVocabularyGroups / tp_size);  // of this rank
  auto* part = reinterpret_cast<SelectPartial*>(workspace.bytes(
      context.stream, Scratch::head_output, rows.size() * groups * sizeof(SelectPartial)));
  context.backend.select(context.stream, packed, head.weight, head.bias, head.soft_cap,
                         head.vocab_size, head.ids.first, tp_size, rows, part, kept);
  const std::vector<SelectPartial> partials =
      gather(context, workspace, Scratch::head_gathered, part, rows.size() * groups);
  std::vector<SelectPartial> all;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    std::array<SelectPartial, kVocabularyGroups> joined;
    for (std::size_t rank = 0; rank < static_cast<std::size_t>(tp_size); ++rank) {
      std::copy_n(
          partials.begin() + static_cast<std::ptrdiff_t>((rank * rows.size() + row) * groups),
          groups, joined.begin() + static_cast<std::ptrdiff_t>(rank * groups));
    }
    all.push_back(join_groups(joined));
  }
  return all;
}

void select_piece(const SelectionHead& head, ExecutionContext& context, Workspace& workspace,
                  const PackedRows& packed, std::span<const SelectRow> rows,
                  std::span<Choice> choices) {
  std::vector<SelectRow> first_rows(rows.begin(), rows.end());
  std::vector<std::size_t> kept;  // rows whose logits are kept
  std::vector<SamplingPlan> plans;
  std::vector<std::int32_t> tops;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    if (!keeps_logits(rows[row])) continue;
    first_rows[row].kept = static_cast<std::int32_t>(kept.size());
    // The cheapest selection will do: only its sums are of interest.
    if (rows[row].plan.needs_logits()) first_rows[row].plan = {.temperature = 0, .key = {}};
    kept.push_back(row);
    plans.push_back(rows[row].plan.needs_logits() ? rows[row].plan
                                                  : SamplingPlan{.temperature = 0, .key = {}});
    tops.push_back(rows[row].top);
  }
  DeviceMatrix logits;
  if (!kept.empty()) {
    logits = workspace.matrix(context.stream, Scratch::kept_logits,
                              static_cast<std::int64_t>(kept.size()), head.ids.count);
  }
  const std::vector<SelectPartial> all =
      first_stage(head, context, workspace, packed, first_rows, logits);
  for (std::size_t row = 0; row < rows.size(); ++row) choices[row] = choice_of(all[row]);
  if (kept.empty()) return;
  for (std::size_t i = 0; i < kept.size(); ++i) {
    if (all[kept[i]].has_nan == 0) continue;
    // NaNs have no order; the row has failed.
    plans[i] = {.temperature = 0, .key = {}};
    tops[i] = 0;
  }

  SecondStage second(context, workspace, head, logits);
  if (std::any_of(tops.begin(), tops.end(), [](std::int32_t top) { return top > 0; })) {
    const std::vector<std::vector<RankedToken>> ranked = second.most_likely(tops);
    for (std::size_t i = 0; i < kept.size(); ++i) {
      const SelectPartial& sums = all[kept[i]];
      for (const RankedToken& token : ranked[i]) {
        choices[kept[i]].top.push_back(
            {token.id, log_probability(token.logit, sums.max_logit, sums.sum_exp)});
      }
    }
  }
  const auto is_drawn = [&](std::size_t i) { return rows[kept[i]].plan.needs_logits(); };
  bool any_drawn = false;
  for (std::size_t i = 0; i < kept.size(); ++i) any_drawn = any_drawn || is_drawn(i);
  if (!any_drawn) return;
  const std::vector<Drawn> drawn = second.draw(plans);
  for (std::size_t i = 0; i < kept.size(); ++i) {
    if (!is_drawn(i)) continue;
    Choice& choice = choices[kept[i]];
    const SelectPartial& sums = all[kept[i]];
    choice.id = drawn[i].id;
    choice.logprob =
        sums.sum_exp == 0.0F ? 0.0F : log_probability(drawn[i].logit, sums.max_logit, sums.sum_exp);
  }
}

}  // namespace

void select_rows(const SelectionHead& head, ExecutionContext& context, Workspace& workspace,
                 const PackedRows& packed, std::span<const SelectRow> rows,
                 std::vector<Choice>& choices) {
  choices.resize(rows.size());
  const bool keeps = std::any_of(rows.begin(), rows.end(), keeps_logits);
  const std::int64_t piece_rows = keeps ? kLogitRows : packed.rows;
  for (std::int64_t first = 0; first < packed.rows; first += piece_rows) {
    const std::int64_t count = std::min(piece_rows, packed.rows - first);
    const PackedRows piece{packed.data + context.backend.packed_bytes(first, packed.inputs), count,
                           packed.inputs};
    const auto at = static_cast<std::size_t>(first);
    const auto size = static_cast<std::size_t>(count);
    select_piece(head, context, workspace, piece, rows.subspan(at, size),
                 std::span(choices).subspan(at, size));
  }
}

}  // namespace gridmill::model_detail
