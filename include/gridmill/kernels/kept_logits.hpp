#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "gridmill/base/device.hpp"
#include "gridmill/sampling/choose_token.hpp"
#include "gridmill/sampling/filter.hpp"
#include "gridmill/sampling/sampling_plan.hpp"

namespace gridmill {

/// Logits of some rows that the first stage of a selection has kept, of the ids of one rank. All of
/// it is device memory.
struct KeptLogits {
  /// [rows, ids]; the model's, from Backend::adjust_logits() on the adjusted ones.
  DeviceMatrix logits;
  /// A multiple of the vocabulary's blocks.
  std::int64_t first_id = 0;
  /// [rows][blocks]: order_key() of each block's largest logit. Passes skip blocks by it.
  std::uint32_t* block_keys = nullptr;
  /// Logits before the adjustment, of the ids with rules that are here: an entry a rule, the rules
  /// of all rows one after the other.
  float* rule_logits = nullptr;

  [[nodiscard]] std::int64_t blocks() const;
  bool operator==(const KeptLogits& other) const = default;
};

/// Where the rules of each row begin in KeptLogits::rule_logits, and behind them their number.
[[nodiscard]] std::vector<std::int64_t> rule_offsets(std::span<const SamplingPlan> plans);

/// One row's draw.
struct DrawPass {
  SamplingPlan plan;
  FilterRow row;
};

// The second stage on the host, one id after the other: the definition.

void adjust_logits_on_host(std::span<const SamplingPlan> plans, const KeptLogits& kept,
                           LogitPeak* peaks);
void count_logits_on_host(std::span<const CountPass> passes, const KeptLogits& kept,
                          FilterBins* bins);
void draw_logits_on_host(std::span<const DrawPass> rows, const KeptLogits& kept, Drawn* drawn);
void list_logits_on_host(std::span<const FilterRow> rows, const KeptLogits& kept, std::int64_t most,
                         RankedToken* listed);

}  // namespace gridmill
