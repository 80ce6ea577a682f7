// The head and the selection of a token, without keeping logits (docs/numerics.md, sections 7, 8).
//
// Contract: for each row and each block of 64 ids: the best score and its lowest id, the largest
// logit m, and sum exp(x - m) in 16 lanes by id mod 16 (both 0 if not requested). Blocks of a
// group join level by level in select_join.hpp.
//
// Blocking: four panels = 192 ids = 3 blocks at a time; their logits for all rows of a pass (at
// most 4 x 256 x 48 floats) stay in L2 and are dropped. Noise is drawn 64 ids at a time: lanes are
// Philox counters, and a transposition puts their words in the order of ids.
//
// Measured (Zen 4, one thread, 50304 ids of 1536 inputs, greedy / sampled): 88 / 89 % of read
// bandwidth at one row, 94 / 80 % of the bf16 peak at 64.
#pragma once

#include "kernels/cpu/products.hpp"

namespace gridmill::cpu::GRIDMILL_CPU_TARGET {

constexpr int kBlockIds = 64;
constexpr int kBlockVectors = kBlockIds / 16;

/// Standard Gumbel noise of ids [first_id, first_id + 64): gumbel_noise of sampling, 64 at a time.
inline void gumbel_block(const DrawKey& key, std::int64_t first_id, F32x16 noise[kBlockVectors]) {
  // Lane 4 q + c counts for ids 4 (q + 4 c) ... + 3 of the block, so that transposing quads of
  // lanes leaves ids in order.
  alignas(64) std::int32_t counters[16];
  for (int q = 0; q < 4; ++q) {
    for (int c = 0; c < 4; ++c) {
      counters[4 * q + c] = static_cast<std::int32_t>(first_id / 4) + q + 4 * c;
    }
  }
  I32x16 x0 = bits_of(load(reinterpret_cast<const float*>(counters)));
  I32x16 x1 = splat_int(static_cast<std::int32_t>(key.position));
  I32x16 x2 = splat_int(static_cast<std::int32_t>(key.sample));
  I32x16 x3 = splat_int(static_cast<std::int32_t>(key.prompt));
  auto key0 = static_cast<std::uint32_t>(key.seed);
  auto key1 = static_cast<std::uint32_t>(key.seed >> 32U);
  const I32x16 multiplier0 = splat_int(static_cast<std::int32_t>(0xD2511F53U));
  const I32x16 multiplier1 = splat_int(static_cast<std::int32_t>(0xCD9E8D57U));
  for (int round = 0; round < 10; ++round) {
    I32x16 low0;
    I32x16 high0;
    I32x16 low1;
    I32x16 high1;
    multiply_wide(x0, multiplier0, low0, high0);
    multiply_wide(x2, multiplier1, low1, high1);
    x0 = high1 ^ x1 ^ splat_int(static_cast<std::int32_t>(key0));
    x1 = low1;
    x2 = high0 ^ x3 ^ splat_int(static_cast<std::int32_t>(key1));
    x3 = low0;
    key0 += 0x9E3779B9U;
    key1 += 0xBB67AE85U;
  }
  const I32x16 words[4] = {x0, x1, x2, x3};
  for (int w = 0; w < 4; ++w) {
    const F32x16 u = (to_float(shift_right<9>(words[w])) + splat(0.5F)) * splat(0x1p-23F);
    noise[w] = negate(log(negate(log(u))));
  }
  transpose_quads(noise[0], noise[1], noise[2], noise[3]);
}

/// Index of the first of `count` values that is the largest; NaNs never are.
GRIDMILL_SIMD int first_largest(const F32x16 values[kBlockVectors], int count) {
  F32x16 max = splat(-kInfinity);
  for (int v = 0; v < kBlockVectors; ++v) {
    const F32x16 x = select(lanes_between(0, larger(0, smaller(16, count - 16 * v))), values[v],
                            splat(-kInfinity));
    max = select(less(max, x), x, max);
  }
  const float largest = largest_lane(max);
  for (int v = 0; v < kBlockVectors; ++v) {
    const unsigned valid = (1U << larger(0, smaller(16, count - 16 * v))) - 1U;
    const unsigned hits = bits_of(equal(values[v], splat(largest))) & valid;
    if (hits != 0) return 16 * v + __builtin_ctz(hits);
  }
  return 0;
}

/// exp(x - max), 1 where x is the maximum, also an infinite one.
GRIDMILL_SIMD F32x16 exp_below(F32x16 x, F32x16 max) {
  return select(equal(x, max), splat(1.0F), exp(x - max));
}

/// One row, one block of `count` ids.
inline void select_block(const SelectRow& row, const float* logits, std::int64_t first_id,
                         int count, SelectPartial& partial) {
  F32x16 x[kBlockVectors];
  F32x16 score[kBlockVectors];
  unsigned nans = 0;
  for (int v = 0; v < kBlockVectors; ++v) {
    const int left = larger(0, smaller(16, count - 16 * v));
    x[v] = load_first(logits + 16 * v, left);
    nans |= bits_of(is_nan(x[v]));
  }
  int best = 0;
  float best_score = 0;
  partial.max_logit = 0;
  partial.sum_exp = 0;
  if (row.logprobs || row.plan.temperature == 0.0F) {
    best = first_largest(x, count);
    best_score = logits[best];
  }
  if (row.logprobs) {
    F32x16 sum = zero();
    for (int v = 0; v < kBlockVectors; ++v) {
      const Mask16 valid = lanes_between(0, larger(0, smaller(16, count - 16 * v)));
      sum = sum + select(valid, exp_below(x[v], splat(best_score)), zero());
    }
    partial.max_logit = best_score;
    partial.sum_exp = tree_sum(sum);
  }
  if (row.plan.temperature != 0.0F) {
    gumbel_block(row.plan.key, first_id, score);
    for (int v = 0; v < kBlockVectors; ++v) {
      score[v] = x[v] / splat(row.plan.temperature) + score[v];
    }
    best = first_largest(score, count);
    alignas(64) float scores[16];
    store(scores, score[best / 16]);
    best_score = scores[best % 16];
    if (best_score - best_score != 0.0F) {
      // Where the quotient overflows the larger logit wins: the greedy token.
      for (int v = 0; v < kBlockVectors; ++v) {
        score[v] = select(equal(score[v], splat(best_score)), x[v], splat(-kInfinity));
      }
      const int larger_logit = first_largest(score, count);
      if (logits[larger_logit] > logits[best]) best = larger_logit;
    }
  }
  partial.score = best_score;
  partial.id = static_cast<TokenId>(first_id + best);
  partial.logit = logits[best];
  const std::int64_t target = row.target - first_id;
  const bool has_target = row.target >= 0 && target >= 0 && target < count;
  partial.target_logit = has_target ? logits[target] : 0.0F;
  partial.has_target = has_target ? 1 : 0;
  partial.has_nan = nans != 0 ? 1 : 0;
}

template <class Steps>
void select_blocks(const SelectArgs& args, const Worker& worker) {
  constexpr std::int64_t kIds = kSelectPanels * kPanelOutputs;
  const std::int64_t groups = (args.ids + kIds - 1) / kIds;
  const std::int64_t panels = (args.ids + kPanelOutputs - 1) / kPanelOutputs;
  const Share mine = share_of(groups, worker);
  const std::int64_t pass = rows_a_pass<Steps>(args.x.inputs);
  for (std::int64_t row = 0; row < args.x.rows; row += pass) {
    const RowChunk chunk{row, smaller(pass, args.x.rows - row)};
    auto* sums = reinterpret_cast<float*>(worker.scratch);
    const std::int64_t panel_sums = chunk.rows * kPanelOutputs;
    for (std::int64_t group = mine.first; group < mine.end; ++group) {
      for (std::int64_t p = 0; p < kSelectPanels; ++p) {
        const std::int64_t panel = group * kSelectPanels + p;
        if (panel >= panels) break;
        panel_product<Steps>(args.x, chunk, panel_at(args.weights, panel), args.chains,
                             sums + p * panel_sums);
      }
      const std::int64_t first_id = group * kIds;
      const std::int64_t ids = smaller(kIds, args.ids - first_id);
      alignas(64) float logits[kIds];
      for (std::int64_t r = 0; r < chunk.rows; ++r) {
        for (std::int64_t i = 0; i < ids; i += 16) {
          const float* from =
              sums + i / kPanelOutputs * panel_sums + r * kPanelOutputs + i % kPanelOutputs;
          const int count = static_cast<int>(smaller<std::int64_t>(16, ids - i));
          store(logits + i,
                soft_cap(with_bias(load(from), args.bias, first_id + i, count), args.soft_cap));
        }
        const std::int32_t kept = args.rows[chunk.first + r].kept;
        if (kept >= 0) {
          float* to = args.kept.data + kept * args.kept.stride + first_id;
          for (std::int64_t i = 0; i < ids; i += 16) {
            store_first(to + i, load(logits + i),
                        static_cast<int>(smaller<std::int64_t>(16, ids - i)));
          }
        }
        for (std::int64_t i = 0; i < ids; i += kBlockIds) {
          const int count = static_cast<int>(smaller<std::int64_t>(kBlockIds, ids - i));
          select_block(
              args.rows[chunk.first + r], logits + i, args.first_id + first_id + i, count,
              args.block_partials[(chunk.first + r) * args.blocks + (first_id + i) / kBlockIds]);
        }
      }
    }
  }
}

}  // namespace gridmill::cpu::GRIDMILL_CPU_TARGET
