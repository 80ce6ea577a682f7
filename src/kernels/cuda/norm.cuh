#pragma once

#include "gridmill/kernels/backend.hpp"
#include "kernels/cuda/reduce.cuh"

namespace gridmill::cuda {

inline constexpr int kRowThreads = 256;

struct NormScale {
  float mean = 0.0F;
  float factor = 0.0F;
};

/// Calls visit(element, step) for thread t's elements of a row, t, t + 256, ... in ascending order.
/// With `Most` above 0 a thread has at most so many, and what it keeps of each is in registers.
template <int Most, typename Visit>
GRIDMILL_DEVICE void for_own_elements(std::int64_t size, const Visit& visit) {
  if constexpr (Most > 0) {
#pragma unroll
    for (int step = 0; step < Most; ++step) {
      const std::int64_t i = thread_index() + step * kRowThreads;
      if (i < size) visit(i, step);
    }
  } else {
    for (std::int64_t i = thread_index(); i < size; i += kRowThreads) visit(i, 0);
  }
}

/// Mean and factor of a norm over `size` values, for all 256 threads of the block: thread t sums
/// its own elements. Value i, its `step`-th one, is x(i, step).
template <int Most, typename Values>
GRIDMILL_DEVICE NormScale norm_scale(NormKind kind, float eps, const Values& x, std::int64_t size,
                                     float* scratch) {
  NormScale scale;
  const auto n = static_cast<float>(size);
  if (kind == NormKind::layer) {
    float sum = 0.0F;
    for_own_elements<Most>(size, [&](std::int64_t i, int step) { sum = sum + x(i, step); });
    scale.mean = block_sum_256(sum, scratch) / n;
  }
  float squares = 0.0F;
  for_own_elements<Most>(size, [&](std::int64_t i, int step) {
    const float d = x(i, step) - scale.mean;
    squares = fmaf(d, d, squares);
  });
  scale.factor = 1.0F / sqrtf(block_sum_256(squares, scratch) / n + eps);
  return scale;
}

GRIDMILL_DEVICE NormScale norm_scale(NormKind kind, float eps, const float* x, std::int64_t size,
                                     float* scratch) {
  return norm_scale<0>(
      kind, eps, [x](std::int64_t i, int /*step*/) { return x[i]; }, size, scratch);
}

/// One normalised value; the order of operations is that of docs/numerics.md, section 3.
/// @param weighs, adds  whether there are a weight and a bias
GRIDMILL_DEVICE float normalized(const NormScale& scale, float x, bool weighs, float weight,
                                 bool adds, float bias) {
  const float scaled = (x - scale.mean) * scale.factor;
  if (!weighs) return scaled;
  return adds ? fmaf(scaled, weight, bias) : scaled * weight;
}

GRIDMILL_DEVICE float normalized(const NormScale& scale, float x, const ConstDeviceVector& weight,
                                 const ConstDeviceVector& bias, std::int64_t i) {
  const bool weighs = weight.size != 0;
  const bool adds = weighs && bias.size != 0;
  return normalized(scale, x, weighs, weighs ? weight.data[i] : 0.0F, adds,
                    adds ? bias.data[i] : 0.0F);
}

}  // namespace gridmill::cuda
