// The second stage of a selection: rows whose logits were kept (kernels/kept_logits.hpp defines it,
// docs/numerics.md, section 7).
//
// Contract: counters are sums of integers, so blocks may be skipped and visited in any order. A
// block is skipped if its largest logit lies below everything that the pass looks for: with top-k
// or a small top-p that is most of them, and what is left is counted id by id.
#pragma once

#include "kernels/cpu/select_join.hpp"

namespace gridmill::cpu::GRIDMILL_CPU_TARGET {

/// order_key() of sampling.
GRIDMILL_SIMD std::uint32_t key_of(float x) {
  const auto bits = __builtin_bit_cast(std::uint32_t, x);
  const auto sign = static_cast<std::uint32_t>(static_cast<std::int32_t>(bits) >> 31);
  return (bits & 0x7F800000U) == 0 ? 0x80000000U : bits ^ (sign | 0x80000000U);
}

/// power_weight() of sampling.
GRIDMILL_SIMD std::uint64_t weight_of(float power) {
  constexpr double kRounder = 0x1.8p52;
  return __builtin_bit_cast(std::uint64_t, static_cast<double>(power) * 0x1p44 + kRounder) -
         __builtin_bit_cast(std::uint64_t, kRounder);
}

GRIDMILL_SIMD int ids_of_block(const KeptRowView& row, std::int64_t block) {
  return static_cast<int>(smaller<std::int64_t>(kBlockIds, row.ids - block * kBlockIds));
}

/// The largest logit of each block, and of the row. NaNs count for nothing.
inline void peak_row(const KeptRowView& row, float* row_max) {
  const F32x16 lowest = splat(-kInfinity);
  float largest = -kInfinity;
  for (std::int64_t block = 0; block * kBlockIds < row.ids; ++block) {
    const float* logits = row.logits + block * kBlockIds;
    const int count = ids_of_block(row, block);
    F32x16 max = lowest;
    for (int first = 0; first < count; first += 16) {
      const int lanes = smaller(16, count - first);
      const F32x16 x = select(lanes_between(0, lanes), load_first(logits + first, lanes), lowest);
      max = select(less(max, x), x, max);
    }
    const float of_block = largest_lane(max);
    row.block_keys[block] = key_of(of_block);
    if (of_block > largest) largest = of_block;
  }
  *row_max = largest;
}

/// relative_power() of sampling, of the ids of one block.
inline void powers_of_block(const float* logits, int count, const FilterRow& row, float* powers) {
  const F32x16 temperature = splat(row.temperature);
  const F32x16 max = splat(row.max_y);
  for (int first = 0; first < count; first += 16) {
    const F32x16 x = load_first(logits + first, smaller(16, count - first));
    const F32x16 power = exp_below(x / temperature, max);
    store(powers + first, select(equal(x, splat(-kInfinity)), zero(), power));
  }
}

/// One pass of counters over one row: count_token() of sampling for every id.
inline void count_row(const KeptRowView& row, const CountPass& pass, std::uint64_t* weights,
                      std::uint32_t* counts) {
  const std::uint32_t within = pass.row.within.key;
  const std::uint32_t low = pass.on_ids ? within : larger(within, pass.prefix);
  const bool powers_needed = pass.weights || pass.row.min_p > 0;
  alignas(64) float powers[kBlockIds];
  for (std::int64_t block = 0; block * kBlockIds < row.ids; ++block) {
    if (row.block_keys[block] < low) continue;
    const float* logits = row.logits + block * kBlockIds;
    const int count = ids_of_block(row, block);
    const auto first_id = static_cast<TokenId>(row.first_id + block * kBlockIds);
    if (powers_needed) powers_of_block(logits, count, pass.row, powers);
    for (int i = 0; i < count; ++i) {
      const std::uint32_t key = key_of(logits[i]);
      if (key < low) continue;
      if (key == within && first_id + i > pass.row.within.last_id) continue;
      if (pass.row.min_p > 0 && static_cast<double>(powers[i]) < pass.row.min_p) continue;
      if (pass.on_ids && key != within) continue;
      const std::uint32_t number = pass.on_ids ? static_cast<std::uint32_t>(first_id + i) : key;
      if ((number ^ pass.prefix) >> pass.shift >> 8 != 0) continue;
      const std::uint32_t bin = (number >> pass.shift) & 0xFFU;
      ++counts[bin];
      if (pass.weights) weights[bin] += weight_of(powers[i]);
    }
  }
}

/// The best kept id of one row, without its logit.
inline void draw_row(const KeptRowView& row, const FilterRow& filter, float temperature,
                     const DrawKey& key, Drawn* drawn) {
  const std::uint32_t within = filter.within.key;
  const bool whole_row = within <= kForbiddenKey + 1 && filter.min_p == 0;
  alignas(64) float powers[kBlockIds];
  alignas(64) float scores[kBlockIds];
  float best_score = 0;
  float best_x = 0;
  TokenId best_id = -1;
  for (std::int64_t block = 0; block * kBlockIds < row.ids; ++block) {
    if (row.block_keys[block] < within) continue;
    const float* logits = row.logits + block * kBlockIds;
    const int count = ids_of_block(row, block);
    const auto first_id = static_cast<TokenId>(row.first_id + block * kBlockIds);
    F32x16 x[kBlockVectors];
    F32x16 score[kBlockVectors];
    for (int v = 0; v < kBlockVectors; ++v) {
      x[v] = load_first(logits + 16 * v, larger(0, smaller(16, count - 16 * v)));
    }
    if (temperature == 0.0F) {
      for (int v = 0; v < kBlockVectors; ++v) score[v] = x[v];
    } else {
      gumbel_block(key, first_id, score);
      for (int v = 0; v < kBlockVectors; ++v) score[v] = x[v] / splat(temperature) + score[v];
    }
    for (int v = 0; v < kBlockVectors; ++v) store(scores + 16 * v, score[v]);
    if (whole_row) {
      for (int v = 0; v < kBlockVectors; ++v) {
        score[v] = select(less(splat(-kInfinity), x[v]), score[v], splat(-kInfinity));
      }
      const int at = first_largest(score, count);
      const float of_block = scores[at];
      if (logits[at] > -kInfinity && of_block - of_block == 0.0F) {
        if (best_id < 0 || better(of_block, logits[at], best_score, best_x)) {
          best_score = of_block;
          best_x = logits[at];
          best_id = first_id + at;
        }
        continue;
      }
    }
    if (filter.min_p > 0) powers_of_block(logits, count, filter, powers);
    for (int i = 0; i < count; ++i) {
      const std::uint32_t id_key = key_of(logits[i]);
      if (id_key < within || (id_key == within && first_id + i > filter.within.last_id)) continue;
      if (filter.min_p > 0 && static_cast<double>(powers[i]) < filter.min_p) continue;
      if (best_id < 0 || better(scores[i], logits[i], best_score, best_x)) {
        best_score = scores[i];
        best_x = logits[i];
        best_id = first_id + i;
      }
    }
  }
  drawn->score = best_score;
  drawn->x = best_x;
  drawn->logit = best_x;
  drawn->id = best_id;
}

}  // namespace gridmill::cpu::GRIDMILL_CPU_TARGET
