// Sums and maxima over the threads of a warp or a block, in orders that the number of values fixes.
#pragma once

#include <cuda_platform.hpp>

#include "kernels/cuda/math.cuh"

namespace gridmill::cuda {

inline constexpr int kWarp = 32;

/// Every lane gets the sum: lane l with l + 16, then + 8, + 4, + 2, + 1.
GRIDMILL_DEVICE float warp_sum(float value) {
#pragma unroll
  for (int mask = kWarp / 2; mask > 0; mask /= 2) value = value + shuffle_xor(value, mask);
  return value;
}

GRIDMILL_DEVICE float warp_largest(float value) {
#pragma unroll
  for (int mask = kWarp / 2; mask > 0; mask /= 2) {
    value = larger_of(value, shuffle_xor(value, mask));
  }
  return value;
}

/// Sum over a block of 256 threads, for all of them: the warps' sums, then a tree over 8 warps
/// (neighbours first). `scratch` holds 8 floats; two calls may share it.
GRIDMILL_DEVICE float block_sum_256(float value, float* scratch) {
  const float sum = warp_sum(value);
  const int warp = thread_index() / kWarp;
  barrier();  // the scratch may still be read from the call before
  if (thread_index() % kWarp == 0) scratch[warp] = sum;
  barrier();
  return ((scratch[0] + scratch[1]) + (scratch[2] + scratch[3])) +
         ((scratch[4] + scratch[5]) + (scratch[6] + scratch[7]));
}

}  // namespace gridmill::cuda
