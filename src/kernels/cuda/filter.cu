#include <cuda_platform.hpp>

#include "gridmill/params/shape.hpp"
#include "kernels/cuda/filter.hpp"
#include "kernels/cuda/random.cuh"
#include "kernels/cuda/reduce.cuh"

// One thread block a row. A warp takes blocks of 64 ids in turns, two ids a lane, and skips those
// whose largest logit lies below what the pass looks for. Counters are integers in shared memory,
// so the order of additions does not matter.
namespace gridmill::cuda {

namespace {

constexpr int kFilterThreads = 256;
constexpr int kFilterWarps = kFilterThreads / kWarp;
constexpr std::uint32_t kLowestKey = 0x007FFFFFU;  // kForbiddenKey of sampling

GRIDMILL_DEVICE std::uint32_t key_of(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if ((bits & 0x7F800000U) == 0) return 0x80000000U;
  return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}

GRIDMILL_DEVICE float power_of(float x, const FilterRow& row) {
  if (key_of(x) <= kLowestKey) return 0.0F;
  const float y = x / row.temperature;
  return y == row.max_y ? 1.0F : exp_of(y - row.max_y);
}

GRIDMILL_DEVICE std::uint64_t weight_of(float power) {
  constexpr double kRounder = 0x1.8p52;
  return std::bit_cast<std::uint64_t>(static_cast<double>(power) * 0x1p44 + kRounder) -
         std::bit_cast<std::uint64_t>(kRounder);
}

GRIDMILL_DEVICE bool keeps(const FilterRow& row, TokenId id, float x) {
  const std::uint32_t key = key_of(x);
  if (key < row.within.key || (key == row.within.key && id > row.within.last_id)) return false;
  return row.min_p == 0 || static_cast<double>(power_of(x, row)) >= row.min_p;
}

GRIDMILL_DEVICE bool better(const Drawn& one, const Drawn& other) {
  if (one.id < 0 || other.id < 0) return other.id < 0 && one.id >= 0;
  if (one.score != other.score) return one.score > other.score;
  // Infinite scores are compared by their logits.
  if (one.score - one.score != 0.0F && one.x != other.x) return one.x > other.x;
  return one.id < other.id;
}

GRIDMILL_DEVICE std::int64_t blocks_of(const KeptLogits& kept) {
  return (kept.logits.columns + kVocabularyBlock - 1) / kVocabularyBlock;
}

/// Place of the first rule whose id is not below `id`.
GRIDMILL_DEVICE std::int64_t first_rule(const TokenRule* rules, std::int64_t count,
                                        std::int64_t id) {
  std::int64_t low = 0;
  while (count > 0) {
    const std::int64_t half = count / 2;
    if (rules[low + half].id < id) {
      low += half + 1;
      count -= half + 1;
    } else {
      count = half;
    }
  }
  return low;
}

GRIDMILL_DEVICE float adjusted(const AdjustRow& row, const TokenRule& rule, float logit) {
  if (rule.banned || (row.only_allowed && !rule.allowed) || (rule.ends && row.forbid_ends)) {
    return -infinity();
  }
  float x = rule.bias == 0.0F ? logit : logit + rule.bias;
  if (rule.seen) x = x > 0.0F ? x / row.repetition : x * row.repetition;
  if (rule.count > 0) {
    const float taken = row.frequency * static_cast<float>(rule.count);
    x = x - taken;
    x = x - row.presence;
  }
  return x;
}

GRIDMILL_KERNEL void adjust_kernel(AdjustArgs args) {
  GRIDMILL_SHARED float largest_of_warps[kFilterWarps];
  const std::int64_t at = block_x();
  const AdjustRow row = args.rows[at];
  float* logits = args.kept.logits.data + at * args.kept.logits.stride;
  const std::int64_t ids = args.kept.logits.columns;
  const std::int64_t first_id = args.kept.first_id;
  const TokenRule* rules = args.rules + row.rules.first;
  float* before = args.kept.rule_logits + row.rules.first;
  const std::int64_t begin = first_rule(rules, row.rules.count, first_id);
  const std::int64_t end = first_rule(rules, row.rules.count, first_id + ids);
  for (std::int64_t r = begin + thread_index(); r < end; r += kFilterThreads) {
    before[r] = logits[rules[r].id - first_id];
  }
  barrier();
  if (row.only_allowed) {
    for (std::int64_t i = thread_index(); i < ids; i += kFilterThreads) logits[i] = -infinity();
    barrier();
  }
  for (std::int64_t r = begin + thread_index(); r < end; r += kFilterThreads) {
    logits[rules[r].id - first_id] = adjusted(row, rules[r], before[r]);
  }
  barrier();
  const int warp = thread_index() / kWarp;
  const int lane = thread_index() % kWarp;
  float largest = -infinity();
  std::uint32_t* keys = args.kept.block_keys + at * blocks_of(args.kept);
  for (std::int64_t block = warp; block < blocks_of(args.kept); block += kFilterWarps) {
    float of_block = -infinity();
    for (int half = 0; half < 2; ++half) {
      const std::int64_t i = block * kVocabularyBlock + lane + half * kWarp;
      if (i < ids && logits[i] > of_block) of_block = logits[i];
    }
    of_block = warp_largest(of_block);
    if (lane == 0) keys[block] = key_of(of_block);
    if (of_block > largest) largest = of_block;
  }
  if (lane == 0) largest_of_warps[warp] = largest;
  barrier();
  if (thread_index() == 0) {
    for (int w = 1; w < kFilterWarps; ++w) {
      if (largest_of_warps[w] > largest) largest = largest_of_warps[w];
    }
    args.peaks[at].max = largest;
    args.peaks[at].floor_key = 0;
  }
}

GRIDMILL_KERNEL void count_kernel(CountArgs args) {
  GRIDMILL_SHARED std::uint64_t weights[kFilterBins];
  GRIDMILL_SHARED std::uint32_t counts[kFilterBins];
  const CountPass pass = args.passes[block_x()];
  for (int bin = thread_index(); bin < kFilterBins; bin += kFilterThreads) {
    weights[bin] = 0;
    counts[bin] = 0;
  }
  barrier();
  const float* logits = args.kept.logits.data + pass.index * args.kept.logits.stride;
  const std::uint32_t* keys = args.kept.block_keys + pass.index * blocks_of(args.kept);
  const std::uint32_t within = pass.row.within.key;
  const std::uint32_t low = pass.on_ids || pass.prefix < within ? within : pass.prefix;
  const int lane = thread_index() % kWarp;
  for (std::int64_t block = thread_index() / kWarp; block < blocks_of(args.kept);
       block += kFilterWarps) {
    if (keys[block] < low) continue;
    for (int half = 0; half < 2; ++half) {
      const std::int64_t i = block * kVocabularyBlock + lane + half * kWarp;
      if (i >= args.kept.logits.columns) continue;
      const float x = logits[i];
      const auto id = static_cast<TokenId>(args.kept.first_id + i);
      const std::uint32_t key = key_of(x);
      if (!keeps(pass.row, id, x) || (pass.on_ids && key != within)) continue;
      const std::uint32_t number = pass.on_ids ? static_cast<std::uint32_t>(id) : key;
      if ((number ^ pass.prefix) >> pass.shift >> 8 != 0) continue;
      const std::uint32_t bin = (number >> pass.shift) & 0xFFU;
      atomic_add(&counts[bin], 1U);
      if (pass.weights) atomic_add(&weights[bin], weight_of(power_of(x, pass.row)));
    }
  }
  barrier();
  // FilterBins: the weights, then the counts.
  auto* out_weights = reinterpret_cast<std::uint64_t*>(args.bins + block_x());
  auto* out_counts = reinterpret_cast<std::uint32_t*>(out_weights + kFilterBins);
  for (int bin = thread_index(); bin < kFilterBins; bin += kFilterThreads) {
    out_weights[bin] = weights[bin];
    out_counts[bin] = counts[bin];
  }
}

GRIDMILL_KERNEL void draw_kernel(DrawArgs args) {
  GRIDMILL_SHARED float scores[kFilterWarps];
  GRIDMILL_SHARED float logits_of_warps[kFilterWarps];
  GRIDMILL_SHARED int ids[kFilterWarps];
  const std::int64_t at = block_x();
  const DrawRow row = args.rows[at];
  const float* logits = args.kept.logits.data + at * args.kept.logits.stride;
  const std::uint32_t* keys = args.kept.block_keys + at * blocks_of(args.kept);
  const int warp = thread_index() / kWarp;
  const int lane = thread_index() % kWarp;
  Drawn best{0.0F, 0.0F, 0.0F, -1};
  for (std::int64_t block = warp; block < blocks_of(args.kept); block += kFilterWarps) {
    if (keys[block] < row.filter.within.key) continue;
    for (int half = 0; half < 2; ++half) {
      const std::int64_t i = block * kVocabularyBlock + lane + half * kWarp;
      if (i >= args.kept.logits.columns) continue;
      const float x = logits[i];
      const auto id = static_cast<TokenId>(args.kept.first_id + i);
      if (!keeps(row.filter, id, x)) continue;
      const Drawn one{score_of(row.temperature, row.key, id, x), x, x, id};
      if (better(one, best)) best = one;
    }
  }
#pragma unroll
  for (int mask = kWarp / 2; mask > 0; mask /= 2) {
    const Drawn other{shuffle_xor(best.score, mask), shuffle_xor(best.x, mask), 0.0F,
                      shuffle_xor(best.id, mask)};
    if (better(other, best)) best = other;
  }
  if (lane == 0) {
    scores[warp] = best.score;
    logits_of_warps[warp] = best.x;
    ids[warp] = best.id;
  }
  barrier();
  if (thread_index() != 0) return;
  for (int w = 1; w < kFilterWarps; ++w) {
    const Drawn other{scores[w], logits_of_warps[w], 0.0F, ids[w]};
    if (better(other, best)) best = other;
  }
  best.logit = best.x;
  if (best.id >= 0) {
    const TokenRule* rules = args.rules + row.rules.first;
    const std::int64_t rule = first_rule(rules, row.rules.count, best.id);
    if (rule < row.rules.count && rules[rule].id == best.id) {
      best.logit = args.kept.rule_logits[row.rules.first + rule];
    }
  }
  args.drawn[at] = best;
}

GRIDMILL_KERNEL void list_kernel(ListArgs args) {
  GRIDMILL_SHARED std::uint32_t found;
  const std::int64_t at = block_x();
  const FilterRow row = args.rows[at];
  RankedToken* out = args.listed + at * args.most;
  if (thread_index() == 0) found = 0;
  for (std::int64_t i = thread_index(); i < args.most; i += kFilterThreads) {
    out[i].id = -1;
    out[i].logit = 0.0F;
  }
  barrier();
  const float* logits = args.kept.logits.data + at * args.kept.logits.stride;
  for (std::int64_t i = thread_index(); i < args.kept.logits.columns; i += kFilterThreads) {
    const auto id = static_cast<TokenId>(args.kept.first_id + i);
    if (!keeps(row, id, logits[i])) continue;
    const std::uint32_t place = atomic_add(&found, 1U);
    if (place >= args.most) continue;
    out[place].id = id;
    out[place].logit = logits[i];
  }
}

}  // namespace

void launch_adjust(LaunchStream stream, std::int64_t rows, const AdjustArgs& args) {
  launch(stream, adjust_kernel, {static_cast<unsigned>(rows), 1, 1}, kFilterThreads, 0, args);
}
void launch_count(LaunchStream stream, std::int64_t passes, const CountArgs& args) {
  launch(stream, count_kernel, {static_cast<unsigned>(passes), 1, 1}, kFilterThreads, 0, args);
}
void launch_draw(LaunchStream stream, std::int64_t rows, const DrawArgs& args) {
  launch(stream, draw_kernel, {static_cast<unsigned>(rows), 1, 1}, kFilterThreads, 0, args);
}
void launch_list(LaunchStream stream, std::int64_t rows, const ListArgs& args) {
  launch(stream, list_kernel, {static_cast<unsigned>(rows), 1, 1}, kFilterThreads, 0, args);
}

}  // namespace gridmill::cuda
