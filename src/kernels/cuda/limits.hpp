#pragma once

#include <cstddef>
#include <cstdint>

#include "gridmill/base/dtype.hpp"
#include "gridmill/kernels/machine_limits.hpp"
#include "kernels/cuda/cuda_stream.hpp"
#include "kernels/cuda/runtime.hpp"

// Measured limits of the device, and random numbers made on it: for benchmarks.
namespace gridmill::cuda {

constexpr int kLimitThreads = 256;
/// Thread blocks of the memory loops: 16 a multiprocessor of the largest device there is (144).
constexpr int kLimitBlocks = 16 * 144;

struct MemoryLoopArgs {
  float* data = nullptr;
  std::int64_t floats = 0;  ///< a multiple of 4
  float* sums = nullptr;  ///< [kLimitBlocks * kLimitThreads], read loop: what each thread has seen
  bool operator==(const MemoryLoopArgs& other) const = default;
};
/// Every float is read once; sums of all threads add up to that of `data`.
void launch_read_loop(LaunchStream stream, const MemoryLoopArgs& args);
/// Every float is read, halved and written back.
void launch_update_loop(LaunchStream stream, const MemoryLoopArgs& args);

struct FillRandomArgs {
  std::byte* data = nullptr;
  std::int64_t elements = 0;
  std::uint64_t seed = 0;
  float width = 0;
  bool operator==(const FillRandomArgs& other) const = default;
};
/// Element i, uniform in (-width / 2, width / 2), from Philox of (i, seed).
void launch_fill_random(LaunchStream stream, DType dtype, const FillRandomArgs& args);

/// Sizes that no cache holds and that fill a device: 1 GiB read or updated, squares of 8192.
struct LimitSizes {
  std::size_t memory_bytes = std::size_t{1} << 30;
  std::int64_t square = 8192;
  int samples = 6;   ///< the best of so many, the first of which warms up,
  int launches = 8;  ///< of so many memory loops each: long enough for the host's clock
};
/// The best of some runs each: own loops for memory, the library's products for the rates.
/// @throws ResourceError without the memory for it.
[[nodiscard]] MachineLimits measure_device_limits(CudaStream& stream, const LimitSizes& sizes);

}  // namespace gridmill::cuda
