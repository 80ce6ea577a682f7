#pragma once

#include <cstdint>
#include <span>

#include "gridmill/kernels/backend.hpp"

// Checks that every backend makes before it computes with experts. All throw InternalError.
namespace gridmill::kernels_detail {

/// Experts lie one behind the other inside `packed_rows` rows, each at a multiple of
/// kExpertRowUnit.
void check_expert_rows(std::span<const ExpertRows> experts, std::int64_t packed_rows);
/// `rows` has an entry for each of `packed_rows` rows; those of experts lie in [0, row_count).
void check_row_list(std::span<const ExpertRows> experts, std::span<const std::int64_t> rows,
                    std::int64_t packed_rows, std::int64_t row_count);
/// Gate and up matrices [2 out.inputs, x.inputs] for rows of `x`, which become rows of `out`.
void check_experts_gated(const PackedRows& x, std::span<const ExpertRows> experts,
                         const PackedRows& out);
/// Row-parallel matrices [blocks.columns, x.inputs] with this rank's blocks.
/// @return rows of one block.
[[nodiscard]] std::int64_t check_experts_down(const PackedRows& x,
                                              std::span<const ExpertRows> experts,
                                              std::span<const std::int64_t> rows,
                                              std::span<const float> weights, int tp_size,
                                              const DeviceMatrix& blocks);

}  // namespace gridmill::kernels_detail
