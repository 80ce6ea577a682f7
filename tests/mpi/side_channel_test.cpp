#include "gridmill/grid/side_channel.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <system_error>
#include <thread>

#include "gridmill/base/clock.hpp"
#include "gridmill/grid/collectives.hpp"
#include "strangers/stranger_process.hpp"

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

/// Collective: whether tests can become another user; says so where not.
bool can_be_disturbed(const Communicator& world) {
  return !any_rank(world, world.rank() == 0 && ::geteuid() != 0);
}

TEST(SideChannel, AnotherUserOfTheHostChangesNothing) {
  const Grid grid = two_ranks_a_node();
  const Communicator& world = grid.world();
  if (world.size() == 1) return;  // no link
  if (!can_be_disturbed(world)) GTEST_SKIP() << "needs root, who can become another user";
  std::unique_ptr<test::StrangerProcess> stranger;
  if (world.rank() == 0) stranger = std::make_unique<test::StrangerProcess>(2.5);
  // Short-lived channels, since strangers can try most while one is made; then one that lasts.
  for (int i = 0; i < 12; ++i) {
    const bool last = i == 11;
    const SideChannel channel(grid, {.silence = std::chrono::milliseconds(1500)});
    std::this_thread::sleep_for(std::chrono::milliseconds(last ? 1700 : 50));
    EXPECT_EQ(channel.alarm(), Alarm::none) << channel.lost();
    world.barrier();
  }
  if (stranger) {
    EXPECT_EQ(stranger->exit_code(), 0) << "it got what it may not have";
  }
  world.barrier();
}

std::set<int> open_sockets() {
  std::set<int> sockets;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code ignored;
    const std::string target = std::filesystem::read_symlink(entry.path(), ignored).string();
    if (target.rfind("socket:", 0) == 0) sockets.insert(std::stoi(entry.path().filename()));
  }
  return sockets;
}

/// The link of a process that dies ends at once, long before it counts as silent.
TEST(SideChannel, AProcessThatDiesIsMissedAtOnce) {
  const Grid grid = two_ranks_a_node();
  const Communicator& world = grid.world();
  if (world.size() == 1) return;  // nobody to miss
  {
    const std::set<int> before = open_sockets();
    const SideChannel channel(grid, {});
    std::set<int> links = open_sockets();
    for (const int socket : before) links.erase(socket);
    EXPECT_FALSE(links.empty());
    world.barrier();
    const SteadyClock::time_point start = SteadyClock::now();
    if (world.rank() == world.size() - 1) {
      // As the kernel closes the sockets of a killed process: without a goodbye.
      for (const int link : links) ::shutdown(link, SHUT_RDWR);
    } else {
      EXPECT_TRUE(soon([&] { return channel.alarm() == Alarm::lost; }));
      EXPECT_LT(seconds_since(start), 5);
    }
    world.barrier();
  }
  world.barrier();
}

}  // namespace
}  // namespace gridmill
