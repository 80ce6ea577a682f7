#include "kernels/cpu/thread_pool.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "gridmill/base/clock.hpp"
#include "gridmill/base/error.hpp"
#include "support/few_threads.hpp"

namespace gridmill::cpu {
namespace {

TEST(ThreadPool, RunsEveryPartOnce) {
  ThreadPool pool(4);
  for (int parts = 0; parts <= 4; ++parts) {
    std::vector<std::atomic<int>> runs(4);
    pool.run(parts, [&](int part) { ++runs[static_cast<std::size_t>(part)]; });
    for (int part = 0; part < 4; ++part) {
      EXPECT_EQ(runs[static_cast<std::size_t>(part)], part < parts ? 1 : 0);
    }
  }
}

TEST(ThreadPool, SeesWhatTheCallerWroteAndShowsWhatItWrote) {
  ThreadPool pool(3);
  std::vector<int> values(3);
  for (int round = 0; round < 20000; ++round) {
    const int written = round;
    pool.run(3, [&](int part) { values[static_cast<std::size_t>(part)] = written + part; });
    for (int part = 0; part < 3; ++part) {
      ASSERT_EQ(values[static_cast<std::size_t>(part)], round + part);
    }
  }
}

TEST(ThreadPool, WakesThreadsThatHaveFallenAsleep) {
  ThreadPool pool(2);
  int value = 0;
  for (int round = 1; round <= 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));  // far longer than threads spin
    pool.run(2, [&](int part) {
      if (part == 1) value = round;
    });
    ASSERT_EQ(value, round);
  }
}

TEST(ThreadPool, OfOneThreadRunsOnTheCaller) {
  ThreadPool pool(1);
  std::thread::id where;
  pool.run(1, [&](int) { where = std::this_thread::get_id(); });
  EXPECT_EQ(where, std::this_thread::get_id());
}

/// Ends with the code of the error that a pool of four threads throws where `allowed` can be made.
void make_a_pool_with(rlim_t allowed) {
  test::allow_threads(allowed);
  try {
    const ThreadPool pool(4);
  } catch (const Error& error) {
    std::fputs(error.what(), stderr);
    std::exit(static_cast<int>(error.code()));
  }
  std::exit(0);
}

TEST(ThreadPool, ThatCannotHaveItsThreadsIsAnErrorNotTheEnd) {
  EXPECT_EXIT(make_a_pool_with(0), ::testing::ExitedWithCode(69),
              "cannot start a thread for the CPU kernels");
}

TEST(ThreadPool, ThatCannotHaveAllItsThreadsEndsThoseItHas) {
  if (::geteuid() != 0) GTEST_SKIP() << "a limit between two threads needs root";
  for (const rlim_t allowed : {1, 2}) {
    EXPECT_EXIT(make_a_pool_with(allowed), ::testing::ExitedWithCode(69),
                "cannot start a thread for the CPU kernels");
  }
  EXPECT_EXIT(make_a_pool_with(3), ::testing::ExitedWithCode(0), "");
}

TEST(ThreadPool, ManyPoolsOnFewCoresDoNotCrawl) {
  // Eight ranks of two threads on the cores of a laptop: 8 x 500 operations. Threads that only spun
  // would need a scheduler's time slice (milliseconds) for each, minutes in all.
  const auto start = SteadyClock::now();
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < 8; ++rank) {
    ranks.emplace_back([] {
      ThreadPool pool(2);
      std::atomic<int> sum = 0;
      for (int operation = 0; operation < 500; ++operation) {
        pool.run(2, [&](int part) { sum += part; });
      }
      EXPECT_EQ(sum, 500);
    });
  }
  for (std::thread& rank : ranks) rank.join();
  EXPECT_LT(seconds_since(start), 30.0);
}

}  // namespace
}  // namespace gridmill::cpu
