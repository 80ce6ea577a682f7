#include "kernels/expert_checks.hpp"

#include "gridmill/base/check.hpp"

namespace gridmill::kernels_detail {

void check_expert_rows(std::span<const ExpertRows> experts, std::int64_t packed_rows) {
  std::int64_t end = 0;
  for (const ExpertRows& expert : experts) {
    GRIDMILL_ASSERT(expert.count > 0 && expert.first % kExpertRowUnit == 0 && expert.first >= end,
                    "an expert's rows begin at a multiple of 8 behind those of the one before");
    end = expert.first + expert.count;
  }
  GRIDMILL_ASSERT(end <= packed_rows, "an expert has rows behind the last packed row");
}

void check_row_list(std::span<const ExpertRows> experts, std::span<const std::int64_t> rows,
                    std::int64_t packed_rows, std::int64_t row_count) {
  GRIDMILL_ASSERT(static_cast<std::int64_t>(rows.size()) == packed_rows,
                  "the row list has one entry a packed row");
  for (const ExpertRows& expert : experts) {
    for (std::int64_t i = expert.first; i < expert.first + expert.count; ++i) {
      const std::int64_t row = rows[static_cast<std::size_t>(i)];
      GRIDMILL_ASSERT(row >= 0 && row < row_count, "no such row");
    }
  }
}

void check_experts_gated(const PackedRows& x, std::span<const ExpertRows> experts,
                         const PackedRows& out) {
  check_expert_rows(experts, x.rows);
  GRIDMILL_ASSERT(out.rows == x.rows, "the result has the rows of the input");
  for (const ExpertRows& expert : experts) {
    const MatrixShape& shape = expert.weight->shape;
    GRIDMILL_ASSERT(expert.weight->fuse == Fuse::interleave && shape.outputs == 2 * out.inputs &&
                        shape.inputs == x.inputs,
                    "an expert's gate and up matrix has another shape");
    GRIDMILL_ASSERT(expert.bias.empty() || expert.bias.size == shape.outputs,
                    "wrong size of an expert's bias");
  }
}

std::int64_t check_experts_down(const PackedRows& x, std::span<const ExpertRows> experts,
                                std::span<const std::int64_t> rows, std::span<const float> weights,
                                int tp_size, const DeviceMatrix& blocks) {
  GRIDMILL_ASSERT(tp_size == 1 || tp_size == 2 || tp_size == 4 || tp_size == kReductionBlocks,
                  "tp is 1, 2, 4 or 8");
  const int block_count = kReductionBlocks / tp_size;
  GRIDMILL_ASSERT(blocks.rows % block_count == 0 && blocks.stride == blocks.columns,
                  "blocks lie one behind the other");
  const std::int64_t block_rows = blocks.rows / block_count;
  check_expert_rows(experts, x.rows);
  check_row_list(experts, rows, x.rows, block_rows);
  GRIDMILL_ASSERT(weights.size() == rows.size(), "one weight a packed row");
  for (const ExpertRows& expert : experts) {
    const MatrixShape& shape = expert.weight->shape;
    GRIDMILL_ASSERT(expert.weight->fuse == Fuse::concatenate && shape.row_parallel &&
                        shape.outputs == blocks.columns && shape.inputs == x.inputs &&
                        shape.inputs <= reduction_block_inputs(shape.whole_inputs) * block_count,
                    "an expert's down matrix has another shape");
    GRIDMILL_ASSERT(expert.bias.empty() || expert.bias.size == shape.outputs,
                    "wrong size of an expert's bias");
  }
  return block_rows;
}

}  // namespace gridmill::kernels_detail
