#pragma once

#include "gridmill/kernels/backend.hpp"
#include "kernels/cuda/reduce.cuh"

namespace gridmill::cuda {

inline constexpr int kRowThreads = 256;

struct NormScale {
  float mean = 0.0F;
  float factor = 0.0F;
};

/// Mean and factor of a norm over `size` values, for all 256 threads of the block: thread t sums
/// elements t, t + 256, ... in ascending order. Value i is x(i).
template <typename Values>
GRIDMILL_DEVICE NormScale norm_scale(NormKind kind, float eps, const Values& x, std::int64_t size,
                                     float* scratch) {
  NormScale scale;
  const auto n = static_cast<float>(size);
  if (kind == NormKind::layer) {
    float sum = 0.0F;
    for (std::int64_t i = thread_index(); i < size; i += kRowThreads) sum = sum + x(i);
    scale.mean = block_sum_256(sum, scratch) / n;
  }
  float squares = 0.0F;
  for (std::int64_t i = thread_index(); i < size; i += kRowThreads) {
    const float d = x(i) - scale.mean;
    squares = fmaf(d, d, squares);
  }
  scale.factor = 1.0F / sqrtf(block_sum_256(squares, scratch) / n + eps);
  return scale;
}

GRIDMILL_DEVICE NormScale norm_scale(NormKind kind, float eps, const float* x, std::int64_t size,
                                     float* scratch) {
  return norm_scale(
      kind, eps, [x](std::int64_t i) { return x[i]; }, size, scratch);
}

/// One normalised value; the order of operations is that of docs/numerics.md, section 3.
GRIDMILL_DEVICE float normalized(const NormScale& scale, float x, const ConstDeviceVector& weight,
                                 const ConstDeviceVector& bias, std::int64_t i) {
  const float scaled = (x - scale.mean) * scale.factor;
  if (weight.size == 0) return scaled;
  if (bias.size == 0) return scaled * weight.data[i];
  return fmaf(scaled, weight.data[i], bias.data[i]);
}

}  // namespace gridmill::cuda
