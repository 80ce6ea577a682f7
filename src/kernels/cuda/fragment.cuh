// Operands of tensor cores as lanes load them: 16 bytes a lane.
#pragma once

#include <cstdint>
#include <cuda_platform.hpp>

namespace gridmill::cuda {

/// Eight neighbouring bf16 values as four pairs.
struct alignas(16) Eight {
  std::uint32_t pair[4];
};

/// c += a b for 16 rows of a, 8 columns of b and 32 inputs: lane (g, t) = (lane / 4, lane % 4) has
/// inputs 8 t .. 8 t + 7 of rows g (`low`) and g + 8 (`high`) and of column g, and the sums of
/// those rows and columns 2 t and 2 t + 1. They fill its places in two instructions: which input
/// stands where is free, as long as a and b agree.
GRIDMILL_DEVICE void multiply_32(float (&c)[4], const Eight& low, const Eight& high,
                                 const Eight& column) {
  const std::uint32_t first[4] = {low.pair[0], high.pair[0], low.pair[1], high.pair[1]};
  const std::uint32_t second[4] = {low.pair[2], high.pair[2], low.pair[3], high.pair[3]};
  const std::uint32_t first_column[2] = {column.pair[0], column.pair[1]};
  const std::uint32_t second_column[2] = {column.pair[2], column.pair[3]};
  mma_16816(c, first, first_column);
  mma_16816(c, second, second_column);
}

}  // namespace gridmill::cuda
