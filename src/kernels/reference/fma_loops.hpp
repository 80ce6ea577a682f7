#pragma once

#include <array>
#include <cstdint>

#include "gridmill/base/dtype.hpp"

namespace gridmill::reference {

inline constexpr std::int64_t kPanelOutputs = 16;
using Lanes = std::array<float, 16>;

/// Inner loops, twice: with the CPU's fma instruction and with the C library's (same bits, slower).
/// Loops over outputs may run in any order; chains over k may not.
struct FmaLoops {
  /// acc[l] = fma(x[k], w[k][l], acc[l]), k ascending.
  void (*panel_fp32)(const float* x, const float* w, std::int64_t inputs, float* acc);
  /// The same over pairs of k, the odd one of each pair first; `inputs` is even.
  void (*panel_bf16)(const float* x, const Bf16* w, std::int64_t inputs, float* acc);
  /// Chain fma(a[i], b[i], .) from +0, i ascending.
  float (*dot_fp32)(const float* a, const float* b, std::int64_t size);
  /// The same over pairs, the odd one first; a missing last one is 0.
  float (*dot_bf16)(const float* a, const float* b, std::int64_t size);
  /// y[i] = fma(a, x[i], y[i]).
  void (*multiply_add)(float a, const float* x, float* y, std::int64_t size);
  /// c[i] = fma(f, c[i], a * x[i]).
  void (*decay_add)(float f, float a, const float* x, float* c, std::int64_t size);
  /// 16 lanes: lane i mod 16 = fma(a[i], b[i], lane), i ascending.
  void (*lanes_of_products)(const float* a, const float* b, std::int64_t size, Lanes& lanes);
};

/// Those that suit this CPU.
[[nodiscard]] const FmaLoops& fma_loops();
/// Those that run on any CPU.
[[nodiscard]] const FmaLoops& library_fma_loops();

}  // namespace gridmill::reference
