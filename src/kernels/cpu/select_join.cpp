#include <algorithm>
#include <vector>

#include "kernels/cpu/cpu_backend_detail.hpp"

namespace gridmill::cpu {

namespace {

struct LogSumExp {
  float max = 0;
  float sum = 0;
};

/// Takes over a block behind those seen so far: ids ascend, so that the lower id wins a tie.
void take(SelectPartial& group, const SelectPartial& block) {
  if (group.id < 0 || block.score > group.score) {
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

/// Neighbours join level by level; an odd one out moves up as it is.
LogSumExp join_levels(std::vector<LogSumExp>& sets) {
  for (std::size_t count = sets.size(); count > 1; count = (count + 1) / 2) {
    for (std::size_t i = 0; i < count / 2; ++i) {
      LogSumExp joined = sets[2 * i];
      join_log_sum_exp(joined.max, joined.sum, sets[2 * i + 1].max, sets[2 * i + 1].sum);
      sets[i] = joined;
    }
    if (count % 2 != 0) sets[count / 2] = sets[count - 1];
  }
  return sets[0];
}

}  // namespace

void join_blocks(const SelectArgs& args, const Worker& worker) {
  const std::int64_t rows = args.x.rows;
  std::vector<LogSumExp> sets;
  for (std::int64_t row = rows * worker.index / worker.count;
       row < rows * (worker.index + 1) / worker.count; ++row) {
    const SelectPartial* blocks = args.block_partials + row * args.blocks;
    for (std::int64_t g = 0; g < args.groups; ++g) {
      const std::int64_t first = std::min(args.blocks, g * args.blocks_of_group);
      const std::int64_t end = std::min(args.blocks, first + args.blocks_of_group);
      SelectPartial group;
      sets.clear();
      for (std::int64_t b = first; b < end; ++b) {
        take(group, blocks[b]);
        sets.push_back({blocks[b].max_logit, blocks[b].sum_exp});
      }
      if (!sets.empty()) {
        const LogSumExp all = join_levels(sets);
        group.max_logit = all.max;
        group.sum_exp = all.sum;
      }
      args.partials[row * args.groups + g] = group;
    }
  }
}

}  // namespace gridmill::cpu
