// Limits of the machine, from plain loops over registers and memory: benchmarks state their
// figures as shares of these, measured in the same run.
#pragma once

#include "kernels/cpu/packed.hpp"

namespace gridmill::cpu::GRIDMILL_CPU_TARGET {

/// Reads `count` floats (a multiple of 256) in one ascending stream.
inline float limit_read(const float* data, std::int64_t count) {
  constexpr int kStreams = 8;
  I32x16 acc[kStreams];
  GRIDMILL_UNROLL
  for (int s = 0; s < kStreams; ++s) acc[s] = splat_int(0);
  for (std::int64_t i = 0; i < count; i += 16 * kStreams) {
    GRIDMILL_UNROLL
    for (int s = 0; s < kStreams; ++s) acc[s] = acc[s] ^ bits_of(load(data + i + 16 * s));
  }
  GRIDMILL_UNROLL
  for (int s = 1; s < kStreams; ++s) acc[0] = acc[0] ^ acc[s];
  return tree_sum(float_of_bits(acc[0]));
}

/// Reads and writes `count` floats (a multiple of 256) in place.
inline void limit_update(float* data, std::int64_t count) {
  const F32x16 factor = splat(0.5F);
  const F32x16 added = splat(0.25F);
  for (std::int64_t i = 0; i < count; i += 64) {
    GRIDMILL_UNROLL
    for (int s = 0; s < 4; ++s) {
      store(data + i + 16 * s, fma(load(data + i + 16 * s), factor, added));
    }
  }
}

/// Steps of products on registers: `steps` x 16 chains of 16 lanes.
template <class Steps>
float limit_product(std::int64_t steps) {
  constexpr int kChains = kWide ? 16 : 6;
  const typename Steps::Unit units[16] = {};
  const typename Steps::Vector x = Steps::load(units);
  F32x16 acc[kChains];
  GRIDMILL_UNROLL
  for (int c = 0; c < kChains; ++c) acc[c] = zero();
  for (std::int64_t i = 0; i < steps * 16 / kChains; ++i) {
    GRIDMILL_UNROLL
    for (int c = 0; c < kChains; ++c) {
      acc[c] = Steps::step(x, x, acc[c]);
      // Keeps the compiler from folding a chain of equal steps.
      hold(acc[c]);
    }
  }
  F32x16 sum = zero();
  GRIDMILL_UNROLL
  for (int c = 0; c < kChains; ++c) sum = sum + acc[c];
  return tree_sum(sum);
}

}  // namespace gridmill::cpu::GRIDMILL_CPU_TARGET
