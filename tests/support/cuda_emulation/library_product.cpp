#include <cstring>

#include "gridmill/base/clock.hpp"
#include "kernels/cuda/runtime.hpp"

// In place of the vendor's library: the definition, on the host.
namespace gridmill::cuda {

double library_square_seconds(StreamHandle stream, DType dtype, std::int64_t n, const std::byte* a,
                              const std::byte* b, float* c) {
  synchronize(stream);
  const auto start = SteadyClock::now();
  const auto element = [dtype](const std::byte* values, std::int64_t i) {
    if (dtype == DType::bf16) return bf16_to_fp32(reinterpret_cast<const Bf16*>(values)[i]);
    return reinterpret_cast<const float*>(values)[i];
  };
  for (std::int64_t row = 0; row < n; ++row) {
    for (std::int64_t column = 0; column < n; ++column) {
      float sum = 0;
      for (std::int64_t k = 0; k < n; ++k) {
        sum += element(a, row * n + k) * element(b, column * n + k);
      }
      c[row + column * n] = sum;
    }
  }
  return seconds_since(start);
}

}  // namespace gridmill::cuda
