// Joins the partials of the vocabulary's blocks to one partial a group (docs/numerics.md,
// section 7).
//
// Contract: blocks of a group join pairwise, level by level; an unpaired last block is carried to
// the next level unchanged. Lanes run across the pairs of a level; a join has the bits of
// base/numerics and sampling. A row of 50000 ids has 786 blocks, two exponentials a join: without
// lanes they took 2 % of a step of 32 rows.
#pragma once

#include "kernels/cpu/select.hpp"

namespace gridmill::cpu::GRIDMILL_CPU_TARGET {

/// Sets by index: each is max + log(sum).
struct LogSumExps {
  float* max;
  float* sum;
};

/// 16 joins: join_log_sum_exp of sampling, lane by lane.
GRIDMILL_SIMD void join_lanes(F32x16& max, F32x16& sum, F32x16 other_max, F32x16 other_sum) {
  const F32x16 largest = select(less(other_max, max), max, other_max);
  const F32x16 joined =
      fma(sum, exp_below(max, largest), other_sum * exp_below(other_max, largest));
  const Mask16 only_other = equal(sum, zero());
  const Mask16 only_this = equal(other_sum, zero());
  max = select(only_this, max, select(only_other, other_max, largest));
  sum = select(only_this, sum, select(only_other, other_sum, joined));
}

/// Joins `count` > 0 sets into set 0.
inline void join_levels(const LogSumExps& sets, std::int64_t count) {
  for (; count > 1; count = (count + 1) / 2) {
    const std::int64_t pairs = count / 2;
    for (std::int64_t first = 0; first < pairs; first += 16) {
      alignas(64) float left_max[16] = {};
      alignas(64) float left_sum[16] = {};
      alignas(64) float right_max[16] = {};
      alignas(64) float right_sum[16] = {};
      const std::int64_t lanes = smaller<std::int64_t>(16, pairs - first);
      for (std::int64_t lane = 0; lane < lanes; ++lane) {
        const std::int64_t at = 2 * (first + lane);
        left_max[lane] = sets.max[at];
        left_sum[lane] = sets.sum[at];
        right_max[lane] = sets.max[at + 1];
        right_sum[lane] = sets.sum[at + 1];
      }
      const float odd_max = sets.max[count - 1];
      const float odd_sum = sets.sum[count - 1];
      F32x16 max = load(left_max);
      F32x16 sum = load(left_sum);
      join_lanes(max, sum, load(right_max), load(right_sum));
      store_first(sets.max + first, max, static_cast<int>(lanes));
      store_first(sets.sum + first, sum, static_cast<int>(lanes));
      if (count % 2 != 0 && first + 16 >= pairs) {
        sets.max[pairs] = odd_max;
        sets.sum[pairs] = odd_sum;
      }
    }
  }
}

/// wins() of sampling.
GRIDMILL_SIMD bool better(float score, float logit, float best_score, float best_logit) {
  return score > best_score || (score == best_score && score - score != 0.0F && logit > best_logit);
}

/// Takes over a block behind those seen so far: ids ascend, so that the lower id wins a tie.
GRIDMILL_SIMD void take(SelectPartial& group, const SelectPartial& block) {
  if (group.id < 0 || better(block.score, block.logit, group.score, group.logit)) {
    group.score = block.score;
    group.id = block.id;
    group.logit = block.logit;
  }
  if (block.has_target != 0) {
    group.target_logit = block.target_logit;
    group.has_target = 1;
  }
  group.has_nan |= block.has_nan;
}

/// Scratch: 2 x blocks_of_group floats.
inline void join_blocks(const SelectArgs& args, const Worker& worker) {
  const Share mine = share_of(args.x.rows, worker);
  auto* scratch = reinterpret_cast<float*>(worker.scratch);
  const LogSumExps sets{scratch, scratch + args.blocks_of_group};
  for (std::int64_t row = mine.first; row < mine.end; ++row) {
    const SelectPartial* blocks = args.block_partials + row * args.blocks;
    for (std::int64_t g = 0; g < args.groups; ++g) {
      const std::int64_t first = smaller(args.blocks, g * args.blocks_of_group);
      const std::int64_t end = smaller(args.blocks, first + args.blocks_of_group);
      SelectPartial group;
      for (std::int64_t b = first; b < end; ++b) {
        take(group, blocks[b]);
        sets.max[b - first] = blocks[b].max_logit;
        sets.sum[b - first] = blocks[b].sum_exp;
      }
      if (first < end && args.rows[row].logprobs) {
        join_levels(sets, end - first);
        group.max_logit = sets.max[0];
        group.sum_exp = sets.sum[0];
      }
      args.partials[row * args.groups + g] = group;
    }
  }
}

}  // namespace gridmill::cpu::GRIDMILL_CPU_TARGET
