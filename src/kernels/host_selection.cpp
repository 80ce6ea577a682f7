#include <algorithm>
#include <cstddef>
#include <vector>

#include "gridmill/kernels/kept_logits.hpp"
#include "gridmill/params/shape.hpp"

namespace gridmill {

namespace {

std::span<float> logits_of(const KeptLogits& kept, std::int64_t row) {
  return {kept.logits.data + row * kept.logits.stride,
          static_cast<std::size_t>(kept.logits.columns)};
}

}  // namespace

std::int64_t KeptLogits::blocks() const {
  return (logits.columns + kVocabularyBlock - 1) / kVocabularyBlock;
}

std::vector<std::int64_t> rule_offsets(std::span<const SamplingPlan> plans) {
  std::vector<std::int64_t> offsets(1, 0);
  for (const SamplingPlan& plan : plans) {
    offsets.push_back(offsets.back() + static_cast<std::int64_t>(plan.rules.tokens.size()));
  }
  return offsets;
}

void adjust_logits_on_host(std::span<const SamplingPlan> plans, const KeptLogits& kept,
                           LogitPeak* peaks) {
  const std::vector<std::int64_t> offsets = rule_offsets(plans);
  for (std::size_t r = 0; r < plans.size(); ++r) {
    const auto row = static_cast<std::int64_t>(r);
    const std::span<float> x = logits_of(kept, row);
    adjust_logits(plans[r].rules, kept.first_id, x,
                  {kept.rule_logits + offsets[r], plans[r].rules.tokens.size()});
    LogitPeak peak;
    for (std::size_t i = 0; i < x.size(); ++i) {
      std::uint32_t& key =
          kept.block_keys[row * kept.blocks() + static_cast<std::int64_t>(i) / kVocabularyBlock];
      key = i % kVocabularyBlock == 0 ? order_key(x[i]) : std::max(key, order_key(x[i]));
      if (x[i] > peak.max) peak.max = x[i];
    }
    peaks[r] = peak;
  }
}

void count_logits_on_host(std::span<const CountPass> passes, const KeptLogits& kept,
                          FilterBins* bins) {
  for (std::size_t p = 0; p < passes.size(); ++p) {
    bins[p] = {};
    const std::span<const float> x = logits_of(kept, passes[p].index);
    for (std::size_t i = 0; i < x.size(); ++i) {
      count_token(passes[p], static_cast<TokenId>(kept.first_id + static_cast<std::int64_t>(i)),
                  x[i], bins[p]);
    }
  }
}

void draw_logits_on_host(std::span<const DrawPass> rows, const KeptLogits& kept, Drawn* drawn) {
  std::int64_t rules_before = 0;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const SamplingPlan& plan = rows[r].plan;
    const std::span<const float> x = logits_of(kept, static_cast<std::int64_t>(r));
    Drawn best;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const auto id = static_cast<TokenId>(kept.first_id + static_cast<std::int64_t>(i));
      if (!is_kept(rows[r].row, id, x[i])) continue;
      take_better(best,
                  {.score = selection_score(plan, id, x[i]), .x = x[i], .logit = x[i], .id = id});
    }
    if (const TokenRule* rule = find_rule(plan.rules, best.id)) {
      best.logit = kept.rule_logits[rules_before + (rule - plan.rules.tokens.data())];
    }
    drawn[r] = best;
    rules_before += static_cast<std::int64_t>(plan.rules.tokens.size());
  }
}

void list_logits_on_host(std::span<const FilterRow> rows, const KeptLogits& kept, std::int64_t most,
                         RankedToken* listed) {
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const auto row = static_cast<std::int64_t>(r);
    const std::span<const float> x = logits_of(kept, row);
    RankedToken* const out = listed + row * most;
    std::fill_n(out, most, RankedToken{});
    std::int64_t count = 0;
    for (std::size_t i = 0; i < x.size() && count < most; ++i) {
      const auto block = static_cast<std::int64_t>(i) / kVocabularyBlock;
      if (kept.block_keys[row * kept.blocks() + block] < rows[r].within.key) {
        i += kVocabularyBlock - 1;
        continue;
      }
      const auto id = static_cast<TokenId>(kept.first_id + static_cast<std::int64_t>(i));
      if (is_kept(rows[r], id, x[i])) out[count++] = {id, x[i]};
    }
  }
}

}  // namespace gridmill
