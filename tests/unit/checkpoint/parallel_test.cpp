#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <vector>

#include "checkpoint/parallel_detail.hpp"

namespace gridmill::checkpoint_detail {
namespace {

TEST(RunParallel, CallsEveryIndexOnceWhateverTheThreads) {
  for (const int threads : {0, 1, 3, 50}) {
    std::vector<std::atomic<int>> calls(20);
    run_parallel(threads, calls.size(), [&](std::size_t index) { ++calls[index]; });
    for (const std::atomic<int>& count : calls) EXPECT_EQ(count, 1);
  }
  run_parallel(2, 0, [](std::size_t) { FAIL(); });
}

TEST(RunParallel, ThrowsWhatAThreadThrew) {
  EXPECT_THROW(run_parallel(3, 100,
                            [](std::size_t index) {
                              if (index == 40) throw std::out_of_range("40");
                            }),
               std::out_of_range);
}

}  // namespace
}  // namespace gridmill::checkpoint_detail
