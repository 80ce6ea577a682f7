#pragma once

#include <cstddef>
#include <functional>

#include "kernels/cuda/runtime.hpp"

// The execution model of a kernel: the blocks of a grid run one after the other, every thread of a
// block is a fiber, and a fiber runs until it meets the others at a barrier or in its warp. So it
// proves indexing, ownership and order - not memory races inside a block, and not the rounding of
// tensor cores. A block whose threads wait at different places, or leave while others wait for
// them, is an error.
namespace gridmill::cuda::emulation {

inline constexpr int kWarpLanes = 32;
inline constexpr std::size_t kLaneBytes = 32;  ///< that a lane may show to its warp at a time

/// Where the running thread is.
struct Place {
  int thread = 0;
  int threads = 0;
  int x = 0;
  int y = 0;
  int z = 0;
};
[[nodiscard]] const Place& place();

/// Runs `kernel` for every block and thread. Shared memory starts as NaN in every block.
/// @throws InternalError for a block that cannot go on, or what a thread threw.
void run_grid(LaunchGrid grid, int threads, std::size_t shared_bytes,
              const std::function<void()>& kernel);

/// Waits for all threads of the block.
void wait_for_block();
[[nodiscard]] std::byte* block_memory();

/// Copies 16 bytes, or as many zeros from nullptr, when the thread waits for the group.
void copy_later(std::byte* target, const std::byte* source);
/// Closes a group of copies.
void close_copies();
/// Makes all copies of the thread but those of the last `open` groups. A thread may not leave with
/// copies that nobody has waited for.
void wait_for_copies(std::size_t open);

/// What the lanes of a warp do together; all 32 have to name the same.
enum class WarpOperation { shuffle, matrix, barrier };
/// Shows `size_bytes` at `value` to the warp and returns what all lanes showed, kLaneBytes apart.
/// Valid until the lane's next exchange.
[[nodiscard]] const std::byte* exchange_in_warp(WarpOperation operation, const void* value,
                                                std::size_t size_bytes);

}  // namespace gridmill::cuda::emulation
