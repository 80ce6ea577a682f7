#include <algorithm>
#include <functional>

#include "gridmill/base/check.hpp"
#include "gridmill/params/shape.hpp"
#include "kernels/cpu/cpu_backend_detail.hpp"

namespace gridmill::cpu {

namespace {

KeptRowView row_view(const KeptLogits& kept, std::int64_t row) {
  return {.logits = kept.logits.data + row * kept.logits.stride,
          .ids = kept.logits.columns,
          .first_id = kept.first_id,
          .block_keys = kept.block_keys + row * kept.blocks()};
}

/// A key that top_k ids reach: that of the top_k-th block, if there are so many.
std::uint32_t floor_of(const SamplingPlan& plan, std::span<const std::uint32_t> block_keys,
                       std::vector<std::uint32_t>& scratch) {
  const auto k = static_cast<std::size_t>(std::max(plan.top_k, 0));
  // Ids that min-p excludes do not count among the k.
  if (k == 0 || plan.min_p > 0 || block_keys.size() < k) return 0;
  scratch.assign(block_keys.begin(), block_keys.end());
  const auto nth = scratch.begin() + static_cast<std::ptrdiff_t>(k - 1);
  std::nth_element(scratch.begin(), nth, scratch.end(), std::greater<>());
  return *nth;
}

}  // namespace

template <typename Row>
void CpuBackend::run_rows(std::size_t rows, const Row& row) {
  const int parts = begin(static_cast<std::int64_t>(rows), 0);
  pool_.run(parts, [&](int part) {
    const FloatMode mode(dtype_);
    const std::size_t end =
        rows * static_cast<std::size_t>(part + 1) / static_cast<std::size_t>(parts);
    for (std::size_t r = rows * static_cast<std::size_t>(part) / static_cast<std::size_t>(parts);
         r < end; ++r) {
      row(r, static_cast<std::size_t>(part));
    }
  });
}

void CpuBackend::adjust_logits(Stream& /*stream*/, std::span<const SamplingPlan> plans,
                               const KeptLogits& kept, LogitPeak* peaks) {
  const std::vector<std::int64_t> offsets = rule_offsets(plans);
  filter_scratch_.resize(static_cast<std::size_t>(pool_.size()));
  for (std::vector<std::uint32_t>& scratch : filter_scratch_) {
    scratch.reserve(static_cast<std::size_t>(kept.blocks()));
  }
  run_rows(plans.size(), [&](std::size_t r, std::size_t part) {
    const auto row = static_cast<std::int64_t>(r);
    const LogitRules& rules = plans[r].rules;
    float* logits = kept.logits.data + row * kept.logits.stride;
    gridmill::adjust_logits(rules, kept.first_id,
                            {logits, static_cast<std::size_t>(kept.logits.columns)},
                            {kept.rule_logits + offsets[r], rules.tokens.size()});
    const KeptRowView view = row_view(kept, row);
    kernels_.peak_row(view, &peaks[r].max);
    peaks[r].floor_key =
        floor_of(plans[r], {view.block_keys, static_cast<std::size_t>(kept.blocks())},
                 filter_scratch_[part]);
  });
}

void CpuBackend::count_logits(Stream& /*stream*/, std::span<const CountPass> passes,
                              const KeptLogits& kept, FilterBins* bins) {
  run_rows(passes.size(), [&](std::size_t p, std::size_t /*part*/) {
    bins[p] = {};
    kernels_.count_row(row_view(kept, passes[p].index), passes[p], bins[p].weights.data(),
                       bins[p].counts.data());
  });
}

void CpuBackend::draw_logits(Stream& /*stream*/, std::span<const DrawPass> rows,
                             const KeptLogits& kept, Drawn* drawn) {
  std::vector<std::int64_t> offsets(1, 0);
  for (const DrawPass& row : rows) {
    offsets.push_back(offsets.back() + static_cast<std::int64_t>(row.plan.rules.tokens.size()));
  }
  run_rows(rows.size(), [&](std::size_t r, std::size_t /*part*/) {
    const SamplingPlan& plan = rows[r].plan;
    Drawn& best = drawn[r];
    kernels_.draw_row(row_view(kept, static_cast<std::int64_t>(r)), rows[r].row, plan.temperature,
                      plan.key, &best);
    if (const TokenRule* rule = find_rule(plan.rules, best.id)) {
      best.logit = kept.rule_logits[offsets[r] + (rule - plan.rules.tokens.data())];
    }
  });
}

void CpuBackend::list_logits(Stream& /*stream*/, std::span<const FilterRow> rows,
                             const KeptLogits& kept, std::int64_t most, RankedToken* listed) {
  list_logits_on_host(rows, kept, most, listed);
}

}  // namespace gridmill::cpu
