// The words in which kernels are written, for a host compiler; see src/kernels/cuda/nvcc for the
// real ones.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>

#include "kernels/cuda/runtime.hpp"
#include "kernels/cuda/work_list.hpp"
#include "support/cuda_emulation/block_runner.hpp"

#define GRIDMILL_KERNEL
#define GRIDMILL_BOUNDS(threads, blocks)
#define GRIDMILL_DEVICE inline
#define GRIDMILL_SHARED static thread_local

namespace gridmill::cuda {

inline int thread_index() { return emulation::place().thread; }
inline int thread_count() { return emulation::place().threads; }
inline int block_x() { return emulation::place().x; }
inline int block_y() { return emulation::place().y; }
inline int block_z() { return emulation::place().z; }

inline void barrier() { emulation::wait_for_block(); }
inline void warp_barrier() {
  const int nothing = 0;
  static_cast<void>(emulation::exchange_in_warp(emulation::WarpOperation::barrier, &nothing, 0));
}

template <typename T>
T shuffle_xor(T value, int mask) {
  const int lane = thread_index() % emulation::kWarpLanes;
  const std::byte* shown =
      emulation::exchange_in_warp(emulation::WarpOperation::shuffle, &value, sizeof value);
  std::memcpy(&value, shown + static_cast<std::size_t>(lane ^ mask) * emulation::kLaneBytes,
              sizeof value);
  return value;
}

/// The threads of a block take turns on one thread of the host.
template <typename T>
T atomic_add(T* counter, T value) {
  const T before = *counter;
  *counter = before + value;
  return before;
}

inline std::byte* shared_memory() { return emulation::block_memory(); }

/// The fragments of PTX's mma.m16n8k16 for bf16, as the manual draws them. Sums in ascending k from
/// the accumulator on: a tensor core has an order and a rounding of its own.
inline void mma_16816(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  struct Shown {
    std::uint32_t a[4];
    std::uint32_t b[2];
  };
  const Shown mine{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
  const std::byte* shown =
      emulation::exchange_in_warp(emulation::WarpOperation::matrix, &mine, sizeof mine);
  const auto of_lane = [shown](int lane) {
    Shown value{};
    std::memcpy(&value, shown + static_cast<std::size_t>(lane) * emulation::kLaneBytes,
                sizeof value);
    return value;
  };
  const auto half = [](std::uint32_t pair, int which) {
    return std::bit_cast<float>(which == 0 ? pair << 16 : pair & 0xFFFF0000U);
  };
  const int lane = thread_index() % emulation::kWarpLanes;
  for (int k = 0; k < 16; ++k) {
    const int pair_lane = k % 8 / 2;
    const Shown row = of_lane(lane / 4 * 4 + pair_lane);
    for (int column = 0; column < 2; ++column) {
      const Shown other = of_lane((2 * (lane % 4) + column) * 4 + pair_lane);
      const float right = half(other.b[k / 8], k % 2);
      for (int upper = 0; upper < 2; ++upper) {
        float& sum = c[2 * upper + column];
        sum = sum + half(row.a[upper + k / 8 * 2], k % 2) * right;
      }
    }
  }
}

/// Arrives as late as it may: when it is waited for.
inline void copy_async(std::byte* shared, const std::byte* global, bool inside) {
  emulation::copy_later(shared, inside ? global : nullptr);
}
inline void copy_async_commit() { emulation::close_copies(); }
template <int Open>
void copy_async_wait() {
  emulation::wait_for_copies(Open);
}

namespace emulation {
/// Appends to the work of a stream.
void submit(StreamHandle stream, std::function<void()> work);
/// Runs all work of a stream so far.
void run_submitted(StreamHandle stream);
/// What this thread of the host has asked of its device so far.
struct Counts {
  std::size_t allocations = 0;  ///< of device and pinned memory, streams and events
  std::size_t submissions = 0;  ///< of work, a graph counts as one
  std::size_t graphs = 0;       ///< launched
  std::size_t waits = 0;        ///< for work, also inside copies to and frees of memory
};
[[nodiscard]] Counts counts();
/// The size of the emulated device of this thread of the host from now on.
void set_device_memory(std::size_t size_bytes);
}  // namespace emulation

namespace emulation {
template <typename Args>
void call_kernel(AnyKernel kernel, const std::byte* bytes) {
  Args args;
  std::memcpy(static_cast<void*>(&args), bytes, sizeof args);
  reinterpret_cast<void (*)(Args)>(kernel)(args);
}
}  // namespace emulation

template <typename Args>
void launch(LaunchStream stream, void (*kernel)(Args), LaunchGrid grid, int threads,
            std::size_t shared_bytes, const Args& args) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  allow_shared_memory(reinterpret_cast<AnyKernel>(kernel), shared_bytes);
  if (stream.gathered != nullptr) {
    stream.gathered->add(kernel, &emulation::call_kernel<Args>, grid, threads, shared_bytes, args);
    return;
  }
  emulation::submit(stream.stream, [=] {
    emulation::run_grid(grid, threads, shared_bytes, [&] { kernel(args); });
  });
}

}  // namespace gridmill::cuda
