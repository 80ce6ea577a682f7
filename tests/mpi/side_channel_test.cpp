#include "gridmill/grid/side_channel.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "gridmill/grid/collectives.hpp"

namespace gridmill {
namespace {

/// Ranks of one machine as if there were a node for each two of them.
Grid two_ranks_a_node() {
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  return Grid::create_with_nodes(MPI_COMM_WORLD, {.dp = 0}, rank / 2);
}

/// Waits until `condition` holds; false after a time that no working channel needs.
template <typename Condition>
bool soon(Condition condition) {
  for (int i = 0; i < 2000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

TEST(SideChannel, WhatOneRankRaisesAllKnow) {
  const Grid grid = two_ranks_a_node();
  const Communicator& world = grid.world();
  for (int raiser = 0; raiser < world.size(); ++raiser) {
    SideChannel channel(grid, {});
    EXPECT_EQ(channel.alarm(), Alarm::none);
    world.barrier();
    if (world.rank() == raiser) channel.raise(Alarm::stop);
    EXPECT_TRUE(soon([&] { return channel.alarm() == Alarm::stop; })) << "raised by " << raiser;
    world.barrier();
    if (world.rank() == raiser) channel.raise(Alarm::at_once);
    EXPECT_TRUE(soon([&] { return channel.alarm() == Alarm::at_once; })) << "raised by " << raiser;
    channel.raise(Alarm::stop);
    EXPECT_EQ(channel.alarm(), Alarm::at_once) << "a lower alarm changes nothing";
    world.barrier();
  }
}

TEST(SideChannel, TicksWithoutNeighboursToo) {
  const Grid grid = two_ranks_a_node();
  std::atomic<int> ticks{0};
  const SideChannel channel(grid, {.on_tick = [&ticks] { ++ticks; }});
  EXPECT_TRUE(soon([&] { return ticks >= 3; }));
}

TEST(SideChannel, ARankThatLeavesIsNotMissed) {
  const Grid grid = two_ranks_a_node();
  {
    const SideChannel channel(grid, {.silence = std::chrono::milliseconds(500)});
    if (grid.world().rank() == 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1500));
      EXPECT_EQ(channel.alarm(), Alarm::none);
    }
  }
  grid.world().barrier();
}

TEST(SideChannel, ARankThatFallsSilentIsMissedByAll) {
  const Grid grid = two_ranks_a_node();
  const Communicator& world = grid.world();
  if (world.size() == 1) return;  // nobody to miss
  const int silent = world.size() - 1;
  std::atomic<bool> hold{false};
  {
    // A thread that does not come back from a tick says nothing more.
    const SideChannel channel(grid, {.silence = std::chrono::milliseconds(1000), .on_tick = [&] {
                                       while (hold) std::this_thread::yield();
                                     }});
    world.barrier();
    hold = world.rank() == silent;
    if (world.rank() != silent) {
      EXPECT_TRUE(soon([&] { return channel.alarm() == Alarm::lost; }));
    }
    world.barrier();
    hold = false;
  }
  world.barrier();
}

}  // namespace
}  // namespace gridmill
