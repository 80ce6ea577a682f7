#include <cuda_platform.hpp>

#include "kernels/cuda/limits.hpp"
#include "kernels/cuda/random.cuh"

namespace gridmill::cuda {

namespace {

/// Sixteen bytes, moved at once.
struct alignas(16) Quad {
  float values[4];
};

/// Calls visit(index of a quad) for this thread's part: neighbours at a time, then the whole grid
/// on.
template <typename Visit>
GRIDMILL_DEVICE void for_each_quad(std::int64_t floats, Visit visit) {
  constexpr std::int64_t kStep = std::int64_t{kLimitBlocks} * kLimitThreads;
  const std::int64_t first = std::int64_t{block_x()} * kLimitThreads + thread_index();
  for (std::int64_t quad = first; quad < floats / 4; quad += kStep) visit(quad);
}

GRIDMILL_KERNEL void read_kernel(MemoryLoopArgs args) {
  const auto* quads = reinterpret_cast<const Quad*>(args.data);
  float sum = 0;
  for_each_quad(args.floats, [&](std::int64_t index) {
    const Quad quad = quads[index];
    sum += (quad.values[0] + quad.values[1]) + (quad.values[2] + quad.values[3]);
  });
  args.sums[block_x() * kLimitThreads + thread_index()] = sum;
}

GRIDMILL_KERNEL void update_kernel(MemoryLoopArgs args) {
  auto* quads = reinterpret_cast<Quad*>(args.data);
  for_each_quad(args.floats, [&](std::int64_t index) {
    Quad quad = quads[index];
#pragma unroll
    for (float& value : quad.values) value *= 0.5F;
    quads[index] = quad;
  });
}

constexpr int kFillElements = 4 * kLimitThreads;

template <DType Compute>
GRIDMILL_KERNEL void fill_random_kernel(FillRandomArgs args) {
  const std::int64_t first =
      (std::int64_t{block_y()} * kLimitBlocks + block_x()) * kFillElements + thread_index();
  for (int piece = 0; piece < 4; ++piece) {
    const std::int64_t i = first + piece * kLimitThreads;
    if (i >= args.elements) return;
    const DrawKey key{.seed = args.seed,
                      .prompt = 0,
                      .sample = 0,
                      .position = static_cast<std::uint32_t>(i >> 32)};
    const std::uint32_t word = philox_word(key, static_cast<std::uint32_t>(i));
    const float u = (static_cast<float>(word >> 9) + 0.5F) * 0x1p-23F;
    store_element<Compute>(args.data, i, (u - 0.5F) * args.width);
  }
}

}  // namespace

void launch_read_loop(LaunchStream stream, const MemoryLoopArgs& args) {
  launch(stream, read_kernel, {kLimitBlocks, 1, 1}, kLimitThreads, 0, args);
}

void launch_update_loop(LaunchStream stream, const MemoryLoopArgs& args) {
  launch(stream, update_kernel, {kLimitBlocks, 1, 1}, kLimitThreads, 0, args);
}

void launch_fill_random(LaunchStream stream, DType dtype, const FillRandomArgs& args) {
  const std::int64_t blocks = (args.elements + kFillElements - 1) / kFillElements;
  const LaunchGrid grid{kLimitBlocks,
                        static_cast<unsigned>((blocks + kLimitBlocks - 1) / kLimitBlocks), 1};
  if (dtype == DType::bf16) {
    launch(stream, fill_random_kernel<DType::bf16>, grid, kLimitThreads, 0, args);
  } else {
    launch(stream, fill_random_kernel<DType::fp32>, grid, kLimitThreads, 0, args);
  }
}

}  // namespace gridmill::cuda
