// The words in which kernels are written, for nvcc. tests/support/cuda_emulation has the same words
// for a host compiler; the include path chooses.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/runtime.hpp"
#include "kernels/cuda/work_list.hpp"

#define GRIDMILL_KERNEL __global__
/// Behind GRIDMILL_KERNEL's type: threads of a thread block, and how many blocks a multiprocessor
/// has to have registers for. nvcc then takes what is left for loads ahead.
#define GRIDMILL_BOUNDS(threads, blocks) __launch_bounds__(threads, blocks)
#define GRIDMILL_DEVICE __device__ __forceinline__
#define GRIDMILL_SHARED __shared__

namespace gridmill::cuda {

GRIDMILL_DEVICE int thread_index() { return static_cast<int>(threadIdx.x); }
GRIDMILL_DEVICE int thread_count() { return static_cast<int>(blockDim.x); }
GRIDMILL_DEVICE int block_x() { return static_cast<int>(blockIdx.x); }
GRIDMILL_DEVICE int block_y() { return static_cast<int>(blockIdx.y); }
GRIDMILL_DEVICE int block_z() { return static_cast<int>(blockIdx.z); }

/// Waits for every thread of the block.
GRIDMILL_DEVICE void barrier() { __syncthreads(); }
/// Waits for every lane of the warp, and makes what they wrote visible to each other.
GRIDMILL_DEVICE void warp_barrier() { __syncwarp(); }
/// The value of the lane with another index in the bits of `mask`. All 32 lanes take part.
GRIDMILL_DEVICE float shuffle_xor(float value, int mask) {
  return __shfl_xor_sync(0xFFFFFFFFU, value, mask);
}
GRIDMILL_DEVICE int shuffle_xor(int value, int mask) {
  return __shfl_xor_sync(0xFFFFFFFFU, value, mask);
}
/// Adds to a counter in shared memory. @return what it was.
GRIDMILL_DEVICE std::uint32_t atomic_add(std::uint32_t* counter, std::uint32_t value) {
  return atomicAdd(counter, value);
}
GRIDMILL_DEVICE void atomic_add(std::uint64_t* counter, std::uint64_t value) {
  atomicAdd(reinterpret_cast<unsigned long long*>(counter), static_cast<unsigned long long>(value));
}
/// Memory of the block, as large as the launch said.
GRIDMILL_DEVICE std::byte* shared_memory() {
  extern __shared__ float4 gridmill_shared[];
  return reinterpret_cast<std::byte*>(gridmill_shared);
}

/// c += a b for a 16 x 16 tile a and a 16 x 8 tile b of bf16, in the fragments of PTX's
/// mma.m16n8k16.
GRIDMILL_DEVICE void mma_16816(float (&c)[4], const std::uint32_t (&a)[4],
                               const std::uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
      "{%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// Copies 16 bytes from global to shared memory behind the thread's back, both aligned to 16; zeros
/// unless `inside`, wherever `global` points then.
GRIDMILL_DEVICE void copy_async(std::byte* shared, const std::byte* global, bool inside) {
  const auto target = static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(target), "l"(global),
               "r"(inside ? 16 : 0)
               : "memory");
}
/// Closes a group of this thread's copies, which may be empty.
GRIDMILL_DEVICE void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Waits for the copies of this thread, the last `Open` groups left out; a barrier makes them
/// visible to the others.
template <int Open>
GRIDMILL_DEVICE void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(Open) : "memory");
}

/// Runs `kernel` once for every block of the grid, with `threads` threads each. Grids without
/// blocks are allowed.
template <typename Args>
void launch(LaunchStream stream, void (*kernel)(Args), LaunchGrid grid, int threads,
            std::size_t shared_bytes, const Args& args) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  constexpr std::size_t kEveryDevice = std::size_t{48} << 10;
  if (shared_bytes > kEveryDevice) {
    allow_shared_memory(reinterpret_cast<AnyKernel>(kernel), shared_bytes);
  }
  if (stream.gathered != nullptr) {
    stream.gathered->add(kernel, nullptr, grid, threads, shared_bytes, args);
    return;
  }
  kernel<<<dim3(grid.x, grid.y, grid.z), static_cast<unsigned>(threads), shared_bytes,
           stream.stream>>>(args);
  check_launch();
}

}  // namespace gridmill::cuda
