#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "gridmill/base/thread.hpp"

namespace gridmill {

/// Calls `work(index)` for every index < count from at most `threads` threads, the caller among
/// them, each with a copy of `work` of its own.
/// @throws what the first failing call threw, later indices are then left out; ResourceError if
/// there can be no such threads.
template <typename Work>
void run_parallel(int threads, std::size_t count, const Work& work) {
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  std::exception_ptr failure;
  const auto fail = [&] {
    const std::lock_guard<std::mutex> lock(mutex);
    if (!failure) failure = std::current_exception();
    next = count;
  };
  const auto loop = [&] {
    try {
      Work own = work;
      for (std::size_t index = next++; index < count; index = next++) own(index);
    } catch (...) {
      fail();
    }
  };
  {
    std::vector<std::jthread> helpers;
    const std::size_t wanted = std::min(count, static_cast<std::size_t>(std::max(threads, 1)));
    try {
      for (std::size_t helper = 1; helper < wanted; ++helper) {
        helpers.push_back(start_thread("a parallel loop", loop));
      }
    } catch (...) {
      fail();
    }
    loop();
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace gridmill
