#include <cuda_platform.hpp>

#include "kernels/cuda/random.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/select.hpp"

namespace gridmill::cuda {

namespace {

constexpr int kJoinThreads = 128;

/// True if candidate (score, logit, id) beats the other: ids that are not there are -1. Infinite
/// scores are compared by their logits.
GRIDMILL_DEVICE bool beats(float score, float logit, int id, float other_score, float other_logit,
                           int other_id) {
  if (id < 0) return false;
  if (other_id < 0) return true;
  if (score != other_score) return score > other_score;
  if (score - score != 0.0F && logit != other_logit) return logit > other_logit;
  return id < other_id;
}

/// One warp, one row, 64 ids: lane l takes the l-th and the (l + 32)-th.
GRIDMILL_KERNEL void block_kernel(SelectArgs args) {
  const std::int64_t row = block_y();
  const std::int64_t first = static_cast<std::int64_t>(block_x()) * kVocabularyBlock;
  const int lane = thread_index();
  const FirstStageRow plan = args.rows[row];
  const float* logits = args.logits.data + row * args.logits.stride;
  float logit[2];
  float largest = -infinity();
  float best_score = 0.0F;
  int best_id = -1;
  float best_logit = 0.0F;
  int has_nan = 0;
  int has_target = 0;
  float target_logit = 0.0F;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const std::int64_t at = first + lane + half * kWarp;
    logit[half] = -infinity();
    if (at >= args.logits.columns) continue;
    logit[half] = logits[at];
    largest = larger_of(largest, logit[half]);
    if (logit[half] != logit[half]) has_nan = 1;
    const auto id = static_cast<TokenId>(args.first_id + at);
    if (plan.kept >= 0) args.kept.data[plan.kept * args.kept.stride + at] = logit[half];
    const float score = score_of(plan.temperature, plan.key, id, logit[half]);
    if (beats(score, logit[half], id, best_score, best_logit, best_id)) {
      best_score = score;
      best_id = id;
      best_logit = logit[half];
    }
    if (id == plan.target) {
      has_target = 1;
      target_logit = logit[half];
    }
  }
  largest = warp_largest(largest);
  // 16 lanes by id mod 16, ascending: ids l, l + 16, l + 32, l + 48; then their tree.
  const float low = first + lane < args.logits.columns ? exp_below(logit[0], largest) : 0.0F;
  const float high =
      first + lane + kWarp < args.logits.columns ? exp_below(logit[1], largest) : 0.0F;
  const float low_next = shuffle_xor(low, 16);
  const float high_next = shuffle_xor(high, 16);
  float sum = ((low + low_next) + high) + high_next;  // right in lanes 0 to 15
#pragma unroll
  for (int mask = 8; mask > 0; mask /= 2) sum = sum + shuffle_xor(sum, mask);
#pragma unroll
  for (int mask = kWarp / 2; mask > 0; mask /= 2) {
    const float score = shuffle_xor(best_score, mask);
    const int id = shuffle_xor(best_id, mask);
    const float other_logit = shuffle_xor(best_logit, mask);
    const int other_target = shuffle_xor(has_target, mask);
    const float other_target_logit = shuffle_xor(target_logit, mask);
    has_nan |= shuffle_xor(has_nan, mask);
    if (beats(score, other_logit, id, best_score, best_logit, best_id)) {
      best_score = score;
      best_id = id;
      best_logit = other_logit;
    }
    if (other_target != 0) {
      has_target = 1;
      target_logit = other_target_logit;
    }
  }
  if (lane == 0) {
    args.blocks[row * select_blocks(args.logits.columns) + block_x()] = {
        best_score,
        best_id,
        best_logit,
        target_logit,
        has_target,
        has_nan,
        plan.logprobs ? largest : 0.0F,
        plan.logprobs ? sum : 0.0F};
  }
}

GRIDMILL_DEVICE void join(SelectPartial& left, const SelectPartial& right) {
  if (beats(right.score, right.logit, right.id, left.score, left.logit, left.id)) {
    left.score = right.score;
    left.id = right.id;
    left.logit = right.logit;
  }
  if (right.has_target != 0) {
    left.has_target = 1;
    left.target_logit = right.target_logit;
  }
  left.has_nan |= right.has_nan;
  join_sums(left.max_logit, left.sum_exp, right.max_logit, right.sum_exp);
}

/// The blocks of one group and row: neighbours join level by level, an odd one moves up.
GRIDMILL_KERNEL void group_kernel(SelectArgs args) {
  const std::int64_t row = block_y();
  const std::int64_t all = select_blocks(args.logits.columns);
  const std::int64_t per_group = args.group_ids / kVocabularyBlock;
  const std::int64_t first = block_x() * per_group;
  std::int64_t count = all - first < per_group ? all - first : per_group;
  if (count < 0) count = 0;
  SelectPartial* blocks = args.blocks + row * all + first;
  for (std::int64_t step = 1; step < count; step *= 2) {
    for (std::int64_t i = 2 * step * thread_index(); i + step < count;
         i += 2 * step * kJoinThreads) {
      join(blocks[i], blocks[i + step]);
    }
    barrier();
  }
  if (thread_index() == 0) {
    SelectPartial none{0.0F, -1, 0.0F, 0.0F, 0, 0, 0.0F, 0.0F};
    args.partials[row * args.groups + block_x()] = count > 0 ? blocks[0] : none;
  }
}

}  // namespace

void launch_select(LaunchStream stream, const SelectArgs& args) {
  const auto rows = static_cast<unsigned>(args.logits.rows);
  launch(stream, block_kernel, {static_cast<unsigned>(select_blocks(args.logits.columns)), rows, 1},
         kWarp, 0, args);
  launch(stream, group_kernel, {static_cast<unsigned>(args.groups), rows, 1}, kJoinThreads, 0,
         args);
}

}  // namespace gridmill::cuda
