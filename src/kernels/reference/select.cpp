#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "gridmill/base/check.hpp"
#include "gridmill/base/numerics.hpp"
#include "kernels/reference/compute.hpp"
#include "kernels/reference/float_mode.hpp"
#include "kernels/reference/reference_backend.hpp"

namespace gridmill::reference {

namespace {

struct LogSumExp {
  float max = 0.0F;
  float sum = 0.0F;  ///< 0 = empty set
};

LogSumExp log_sum_exp_of_block(std::span<const float> logits) {
  LogSumExp result{logits[0], 0.0F};
  for (const float logit : logits.subspan(1)) result.max = larger(result.max, logit);
  std::array<float, kVocabularyBlock> powers{};
  for (std::size_t i = 0; i < logits.size(); ++i) powers[i] = exp_below(logits[i], result.max);
  result.sum = lane_sum(powers);  // blocks start at multiples of 64: lane = id mod 16
  return result;
}

/// Neighbours join level by level; an unpaired last set is carried to the next level unchanged.
LogSumExp join_blocks(std::vector<LogSumExp> sets) {
  if (sets.empty()) return {};
  while (sets.size() > 1) {
    std::vector<LogSumExp> joined;
    for (std::size_t i = 0; i < sets.size(); i += 2) {
      joined.push_back(sets[i]);
      if (i + 1 == sets.size()) break;
      join_log_sum_exp(joined.back().max, joined.back().sum, sets[i + 1].max, sets[i + 1].sum);
    }
    sets = std::move(joined);
  }
  return sets[0];
}

/// Offers the logits of ids first, first + 1, ... to a group's selection.
void offer(std::span<const float> logits, std::int64_t first, const SelectRow& row,
           SelectPartial& best) {
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const auto id = static_cast<TokenId>(first + static_cast<std::int64_t>(i));
    if (std::isnan(logits[i])) best.has_nan = 1;
    const float score = selection_score(row.plan, id, logits[i]);
    if (best.id < 0 || wins(score, logits[i], best.score, best.logit)) {
      best.score = score;
      best.id = id;
      best.logit = logits[i];
    }
    if (id == row.target) {
      best.target_logit = logits[i];
      best.has_target = 1;
    }
  }
}

}  // namespace

void ReferenceBackend::select(Stream& /*stream*/, const PackedRows& x, const Weight& w,
                              ConstDeviceVector bias, float soft_cap, std::int64_t vocab_size,
                              std::int64_t first_id, int tp_size, std::span<const SelectRow> rows,
                              SelectPartial* partials, DeviceMatrix kept) {
  check_product(x, w, Fuse::concatenate, dtype_);
  check_bias(bias, w.shape.outputs);
  GRIDMILL_ASSERT(static_cast<std::int64_t>(rows.size()) == x.rows, "one selection a row");
  GRIDMILL_ASSERT(tp_size == 1 || tp_size == 2 || tp_size == 4 || tp_size == kVocabularyGroups,
                  "tp is 1, 2, 4 or 8");
  const std::int64_t group_ids = vocabulary_group_ids(vocab_size);
  const int groups = kVocabularyGroups / tp_size;
  const std::int64_t end_id = first_id + w.shape.outputs;
  GRIDMILL_ASSERT(w.shape.outputs <= group_ids * groups && end_id <= vocab_size &&
                      (w.shape.outputs == 0 || first_id % (group_ids * groups) == 0),
                  "a rank holds whole groups of the vocabulary");
  const FloatModeScope mode(dtype_);
  std::vector<float> logits(kVocabularyBlock);
  for (std::int64_t r = 0; r < x.rows; ++r) {
    const float* inputs = packed_row(x, r, dtype_);
    const SelectRow& row = rows[static_cast<std::size_t>(r)];
    for (int g = 0; g < groups; ++g) {
      SelectPartial best;
      std::vector<LogSumExp> blocks;
      const std::int64_t group_end = std::min(end_id, first_id + (g + 1) * group_ids);
      for (std::int64_t id = first_id + g * group_ids; id < group_end; id += kVocabularyBlock) {
        const std::int64_t count = std::min<std::int64_t>(kVocabularyBlock, group_end - id);
        for (std::int64_t i = 0; i < count; i += kPanelOutputs) {
          const std::byte* panel = panel_of(w, (id - first_id + i) / kPanelOutputs);
          Lanes sums = panel_product(w.shape, inputs, panel, 0, x.inputs, dtype_);
          add_bias(sums, bias, id - first_id + i);
          for (std::size_t l = 0; l < sums.size(); ++l) {
            logits[static_cast<std::size_t>(i) + l] = soft_cap_f32(sums[l], soft_cap);
          }
        }
        const std::span<const float> block(logits.data(), static_cast<std::size_t>(count));
        offer(block, id, row, best);
        if (row.kept >= 0) {
          std::copy(block.begin(), block.end(),
                    kept.data + row.kept * kept.stride + (id - first_id));
        }
        if (row.logprobs) blocks.push_back(log_sum_exp_of_block(block));
      }
      const LogSumExp all = join_blocks(std::move(blocks));
      best.max_logit = all.max;
      best.sum_exp = all.sum;
      partials[r * groups + g] = best;
    }
  }
}

void ReferenceBackend::adjust_logits(Stream& /*stream*/, std::span<const SamplingPlan> plans,
                                     const KeptLogits& kept, LogitPeak* peaks) {
  const FloatModeScope mode(dtype_);
  adjust_logits_on_host(plans, kept, peaks);
}

void ReferenceBackend::count_logits(Stream& /*stream*/, std::span<const CountPass> passes,
                                    const KeptLogits& kept, FilterBins* bins) {
  const FloatModeScope mode(dtype_);
  count_logits_on_host(passes, kept, bins);
}

void ReferenceBackend::draw_logits(Stream& /*stream*/, std::span<const DrawPass> rows,
                                   const KeptLogits& kept, Drawn* drawn) {
  const FloatModeScope mode(dtype_);
  draw_logits_on_host(rows, kept, drawn);
}

void ReferenceBackend::list_logits(Stream& /*stream*/, std::span<const FilterRow> rows,
                                   const KeptLogits& kept, std::int64_t most, RankedToken* listed) {
  list_logits_on_host(rows, kept, most, listed);
}

}  // namespace gridmill::reference
