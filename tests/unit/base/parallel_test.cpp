#include "gridmill/base/parallel.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <vector>

#include "gridmill/base/error.hpp"
#include "support/few_threads.hpp"

namespace gridmill {
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

TEST(RunParallel, EndsWithAnErrorWhereThereCanBeNoThreads) {
  EXPECT_EXIT(
      {
        test::allow_threads(0);
        try {
          run_parallel(4, 1000, [](std::size_t) {});
        } catch (const Error& error) {
          std::fputs(error.what(), stderr);
          std::exit(static_cast<int>(error.code()));
        }
        std::exit(0);
      },
      ::testing::ExitedWithCode(69), "cannot start a thread");
}

}  // namespace
}  // namespace gridmill
