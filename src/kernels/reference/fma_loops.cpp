#include "kernels/reference/fma_loops.hpp"

#include <cmath>

namespace gridmill::reference {

namespace {

// Each loop is written once and inlined into two functions. The target attribute of `hardware` lets
// the compiler use the fma instruction there; a fused operation is rounded once either way, so both
// give the same bits.
namespace loop {

[[gnu::always_inline]] inline void panel_fp32(const float* x, const float* w, std::int64_t inputs,
                                              float* acc) {
  Lanes sums;
  for (std::size_t l = 0; l < 16; ++l) sums[l] = acc[l];
  for (std::int64_t k = 0; k < inputs; ++k) {
    for (std::size_t l = 0; l < 16; ++l) sums[l] = std::fma(x[k], w[k * 16 + l], sums[l]);
  }
  for (std::size_t l = 0; l < 16; ++l) acc[l] = sums[l];
}

[[gnu::always_inline]] inline void panel_bf16(const float* x, const Bf16* w, std::int64_t inputs,
                                              float* acc) {
  Lanes sums;
  for (std::size_t l = 0; l < 16; ++l) sums[l] = acc[l];
  for (std::int64_t k = 0; k < inputs; k += 2) {
    const Bf16* even = w + k * 16;
    const Bf16* odd = even + 16;
    for (std::size_t l = 0; l < 16; ++l) {
      sums[l] = std::fma(x[k + 1], bf16_to_fp32(odd[l]), sums[l]);
      sums[l] = std::fma(x[k], bf16_to_fp32(even[l]), sums[l]);
    }
  }
  for (std::size_t l = 0; l < 16; ++l) acc[l] = sums[l];
}

[[gnu::always_inline]] inline float dot_fp32(const float* a, const float* b, std::int64_t size) {
  float sum = 0.0F;
  for (std::int64_t i = 0; i < size; ++i) sum = std::fma(a[i], b[i], sum);
  return sum;
}

[[gnu::always_inline]] inline float dot_bf16(const float* a, const float* b, std::int64_t size) {
  float sum = 0.0F;
  for (std::int64_t i = 0; i < size; i += 2) {
    const bool has_odd = i + 1 < size;
    sum = std::fma(has_odd ? a[i + 1] : 0.0F, has_odd ? b[i + 1] : 0.0F, sum);
    sum = std::fma(a[i], b[i], sum);
  }
  return sum;
}

[[gnu::always_inline]] inline void multiply_add(float a, const float* x, float* y,
                                                std::int64_t size) {
  for (std::int64_t i = 0; i < size; ++i) y[i] = std::fma(a, x[i], y[i]);
}

[[gnu::always_inline]] inline void decay_add(float f, float a, const float* x, float* c,
                                             std::int64_t size) {
  for (std::int64_t i = 0; i < size; ++i) c[i] = std::fma(f, c[i], a * x[i]);
}

[[gnu::always_inline]] inline void lanes_of_products(const float* a, const float* b,
                                                     std::int64_t size, Lanes& lanes) {
  for (std::int64_t i = 0; i < size; ++i) {
    float& lane = lanes[static_cast<std::size_t>(i % 16)];
    lane = std::fma(a[i], b[i], lane);
  }
}

}  // namespace loop

namespace library {

void panel_fp32(const float* x, const float* w, std::int64_t inputs, float* acc) {
  loop::panel_fp32(x, w, inputs, acc);
}
void panel_bf16(const float* x, const Bf16* w, std::int64_t inputs, float* acc) {
  loop::panel_bf16(x, w, inputs, acc);
}
float dot_fp32(const float* a, const float* b, std::int64_t size) {
  return loop::dot_fp32(a, b, size);
}
float dot_bf16(const float* a, const float* b, std::int64_t size) {
  return loop::dot_bf16(a, b, size);
}
void multiply_add(float a, const float* x, float* y, std::int64_t size) {
  loop::multiply_add(a, x, y, size);
}
void decay_add(float f, float a, const float* x, float* c, std::int64_t size) {
  loop::decay_add(f, a, x, c, size);
}
void lanes_of_products(const float* a, const float* b, std::int64_t size, Lanes& lanes) {
  loop::lanes_of_products(a, b, size, lanes);
}

}  // namespace library

namespace hardware {

[[gnu::target("avx2,fma")]] void panel_fp32(const float* x, const float* w, std::int64_t inputs,
                                            float* acc) {
  loop::panel_fp32(x, w, inputs, acc);
}
[[gnu::target("avx2,fma")]] void panel_bf16(const float* x, const Bf16* w, std::int64_t inputs,
                                            float* acc) {
  loop::panel_bf16(x, w, inputs, acc);
}
[[gnu::target("avx2,fma")]] float dot_fp32(const float* a, const float* b, std::int64_t size) {
  return loop::dot_fp32(a, b, size);
}
[[gnu::target("avx2,fma")]] float dot_bf16(const float* a, const float* b, std::int64_t size) {
  return loop::dot_bf16(a, b, size);
}
[[gnu::target("avx2,fma")]] void multiply_add(float a, const float* x, float* y,
                                              std::int64_t size) {
  loop::multiply_add(a, x, y, size);
}
[[gnu::target("avx2,fma")]] void decay_add(float f, float a, const float* x, float* c,
                                           std::int64_t size) {
  loop::decay_add(f, a, x, c, size);
}
[[gnu::target("avx2,fma")]] void lanes_of_products(const float* a, const float* b,
                                                   std::int64_t size, Lanes& lanes) {
  loop::lanes_of_products(a, b, size, lanes);
}

}  // namespace hardware

}  // namespace

const FmaLoops& library_fma_loops() {
  static constexpr FmaLoops kLibrary = {
      library::panel_fp32,   library::panel_bf16, library::dot_fp32,         library::dot_bf16,
      library::multiply_add, library::decay_add,  library::lanes_of_products};
  return kLibrary;
}

const FmaLoops& fma_loops() {
  static constexpr FmaLoops kHardware = {
      hardware::panel_fp32,   hardware::panel_bf16, hardware::dot_fp32,         hardware::dot_bf16,
      hardware::multiply_add, hardware::decay_add,  hardware::lanes_of_products};
  static const bool has_fma = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return has_fma ? kHardware : library_fma_loops();
}

}  // namespace gridmill::reference
