#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <vector>

#include "gridmill/base/dtype.hpp"
#include "gridmill/base/error.hpp"
#include "support/cuda_emulation/cuda_platform.hpp"

// The emulation must be able to fail, or what runs on it proves nothing.
namespace gridmill::cuda {
namespace {

using emulation::run_grid;

TEST(ExecutionModel, EveryThreadOfEveryBlockRunsOnce) {
  std::vector<int> runs(std::size_t{2} * 3 * 2 * 64, 0);
  run_grid({2, 3, 2}, 64, 0, [&] {
    const int block = (block_z() * 3 + block_y()) * 2 + block_x();
    ++runs[static_cast<std::size_t>(block) * 64 + static_cast<std::size_t>(thread_index())];
  });
  EXPECT_EQ(runs, std::vector<int>(runs.size(), 1));
}

TEST(ExecutionModel, SharedMemoryIsSeenBehindABarrier) {
  std::vector<int> seen(256, -1);
  run_grid({1, 1, 1}, 256, 256 * sizeof(int), [&] {
    auto* shared = reinterpret_cast<int*>(shared_memory());
    for (int round = 0; round < 3; ++round) {
      shared[thread_index()] = 1000 * round + thread_index();
      barrier();
      seen[static_cast<std::size_t>(thread_index())] = shared[255 - thread_index()];
      barrier();
    }
  });
  for (int i = 0; i < 256; ++i) EXPECT_EQ(seen[static_cast<std::size_t>(i)], 2000 + 255 - i);
}

TEST(ExecutionModel, SharedMemoryStartsAsNan) {
  float first = 0;
  run_grid({1, 1, 1}, 32, sizeof(float), [&] {
    if (thread_index() == 0) std::memcpy(&first, shared_memory(), sizeof first);
  });
  EXPECT_TRUE(std::isnan(first));
}

TEST(ExecutionModel, LanesSeeEachOthersValuesAndNoneOfTheNextRound) {
  std::vector<int> sums(64, 0);
  run_grid({1, 1, 1}, 64, 0, [&] {
    for (int mask = 16; mask > 0; mask /= 2) {
      for (int round = 0; round < 2; ++round) {
        sums[static_cast<std::size_t>(thread_index())] +=
            shuffle_xor(100 * round + thread_index(), mask);
      }
    }
  });
  for (int i = 0; i < 64; ++i) {
    int expected = 0;
    for (int mask = 16; mask > 0; mask /= 2) expected += 100 + 2 * (i ^ mask);
    EXPECT_EQ(sums[static_cast<std::size_t>(i)], expected) << i;
  }
}

TEST(ExecutionModel, ThreadsThatMissABarrierAreFound) {
  EXPECT_THROW(run_grid({1, 1, 1}, 64, 0,
                        [] {
                          if (thread_index() != 5) barrier();
                        }),
               InternalError);
}

TEST(ExecutionModel, LanesThatMissAShuffleAreFound) {
  EXPECT_THROW(run_grid({1, 1, 1}, 32, 0,
                        [] {
                          if (thread_index() != 5) static_cast<void>(shuffle_xor(1, 1));
                        }),
               InternalError);
}

TEST(ExecutionModel, CopiesArriveWhenTheirGroupIsWaitedFor) {
  alignas(16) std::array<int, 8> source{1, 2, 3, 4, 5, 6, 7, 8};
  std::array<int, 4> seen{};
  run_grid({1, 1, 1}, 32, std::size_t{32} * 48, [&] {
    std::byte* mine = shared_memory() + static_cast<std::ptrdiff_t>(thread_index()) * 48;
    const auto first_of = [mine](int copy) {
      int value = 0;
      std::memcpy(&value, mine + static_cast<std::ptrdiff_t>(copy) * 16, sizeof value);
      return value;
    };
    const auto* global = reinterpret_cast<const std::byte*>(source.data());
    copy_async(mine, global, true);
    copy_async_commit();
    copy_async(mine + 16, global + 16, true);
    copy_async(mine + 32, global, false);
    copy_async_commit();
    if (thread_index() == 7) seen[0] = first_of(0);
    copy_async_wait<1>();
    if (thread_index() == 7) seen[1] = 10 * first_of(0) + (first_of(1) == -1 ? 1 : 0);
    copy_async_wait<0>();
    if (thread_index() == 7) seen[2] = first_of(1);
    if (thread_index() == 7) seen[3] = first_of(2);
  });
  EXPECT_EQ(seen, (std::array<int, 4>{-1, 11, 5, 0}));
}

TEST(ExecutionModel, AThreadBlockHasNoMoreSharedMemoryThanAMultiprocessor) {
  allow_shared_memory(nullptr, std::size_t{227} << 10);
  EXPECT_THROW(allow_shared_memory(nullptr, (std::size_t{227} << 10) + 1), SystemError);
}

TEST(ExecutionModel, CopiesThatNobodyWaitedForAreFound) {
  alignas(16) std::array<std::byte, 16> source{};
  EXPECT_THROW(run_grid({1, 1, 1}, 32, 16,
                        [&] {
                          copy_async(shared_memory(), source.data(), true);
                          copy_async_commit();
                        }),
               InternalError);
}

TEST(ExecutionModel, WhatAThreadThrowsArrives) {
  EXPECT_THROW(run_grid({1, 1, 1}, 32, 0,
                        [] {
                          if (thread_index() == 3) throw IoError("from a thread");
                          barrier();
                        }),
               IoError);
  // And the next grid runs as if nothing had been.
  int threads = 0;
  run_grid({1, 1, 1}, 32, 0, [&] {
    barrier();
    ++threads;
  });
  EXPECT_EQ(threads, 32);
}

TEST(ExecutionModel, MatrixStepsMultiplyTheFragmentsOfTheManual) {
  // a [16][16] and b [16][8] of small integers, in the layout of PTX ISA, "Matrix Fragments for
  // mma.m16n8k16 with floating point type": written down here a second time, element by element.
  const auto a_at = [](int row, int k) { return static_cast<float>((row * 5 + k * 3) % 7 - 3); };
  const auto b_at = [](int k, int column) { return static_cast<float>((k * 2 + column) % 5 - 2); };
  const auto pair = [](float low, float high) {
    return static_cast<std::uint32_t>(fp32_to_bf16(low)) |
           static_cast<std::uint32_t>(fp32_to_bf16(high)) << 16;
  };
  std::array<std::array<float, 8>, 16> c{};
  // NOLINTBEGIN(modernize-avoid-c-arrays): registers of a kernel
  run_grid({1, 1, 1}, 32, 0, [&] {
    const int group = thread_index() / 4;
    const int t = thread_index() % 4;
    const std::uint32_t a[4] = {pair(a_at(group, 2 * t), a_at(group, 2 * t + 1)),
                                pair(a_at(group + 8, 2 * t), a_at(group + 8, 2 * t + 1)),
                                pair(a_at(group, 2 * t + 8), a_at(group, 2 * t + 9)),
                                pair(a_at(group + 8, 2 * t + 8), a_at(group + 8, 2 * t + 9))};
    const std::uint32_t b[2] = {pair(b_at(2 * t, group), b_at(2 * t + 1, group)),
                                pair(b_at(2 * t + 8, group), b_at(2 * t + 9, group))};
    float sum[4] = {1.0F, 2.0F, 3.0F, 4.0F};
    mma_16816(sum, a, b);
    for (int i = 0; i < 4; ++i) {
      const int row = group + 8 * (i / 2);
      const int column = 2 * t + i % 2;
      c[static_cast<std::size_t>(row)][static_cast<std::size_t>(column)] =
          sum[i] - static_cast<float>(i + 1);
    }
  });
  // NOLINTEND(modernize-avoid-c-arrays)
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 8; ++column) {
      float expected = 0;
      for (int k = 0; k < 16; ++k) expected += a_at(row, k) * b_at(k, column);
      EXPECT_EQ(c[static_cast<std::size_t>(row)][static_cast<std::size_t>(column)], expected)
          << row << " " << column;
    }
  }
}

TEST(EmulatedStream, WorkWaitsUntilSomebodyWaitsForIt) {
  const StreamHandle stream = create_stream();
  std::byte* device = device_allocate(4);
  float sent = 2.5F;
  float received = -1.0F;
  copy_to_device(stream, std::as_bytes(std::span<const float>(&sent, 1)), device);
  sent = 0.0F;  // pageable memory is read during the call
  copy_to_host(stream, device, std::as_writable_bytes(std::span<float>(&received, 1)));
  EXPECT_EQ(received, -1.0F);
  synchronize(stream);
  EXPECT_EQ(received, 2.5F);
  device_free(device);
  destroy_stream(stream);
}

TEST(EmulatedStream, PinnedMemoryIsReadWhenTheCopyRuns) {
  const StreamHandle stream = create_stream();
  std::byte* device = device_allocate(1);
  std::byte* pinned = pinned_allocate(1);
  std::byte received{0};
  *pinned = std::byte{1};
  copy_to_device(stream, {pinned, 1}, device);
  *pinned = std::byte{2};
  copy_to_host(stream, device, {&received, 1});
  synchronize(stream);
  EXPECT_EQ(received, std::byte{2});
  pinned_free(pinned);
  device_free(device);
  destroy_stream(stream);
}

TEST(EmulatedStream, AFailureShowsWhenTheStreamIsSynchronised) {
  const StreamHandle stream = create_stream();
  int later = 0;
  emulation::submit(stream, [] { throw InternalError("from the device"); });
  emulation::submit(stream, [&] { ++later; });
  EXPECT_THROW(synchronize(stream), InternalError);
  EXPECT_EQ(later, 0);
  EXPECT_NO_THROW(synchronize(stream));
  destroy_stream(stream);
}

}  // namespace
}  // namespace gridmill::cuda
