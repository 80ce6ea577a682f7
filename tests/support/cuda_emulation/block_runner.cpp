#include "support/cuda_emulation/block_runner.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "gridmill/base/error.hpp"
#include "support/cuda_emulation/fiber.hpp"

namespace gridmill::cuda::emulation {

namespace {

enum class Waiting { no, block, warp, done };

struct Copy {
  std::byte* target;
  const std::byte* source;
};

struct Thread {
  Fiber fiber;
  int index = 0;
  Waiting waiting = Waiting::no;
  std::deque<std::vector<Copy>> copies;  ///< groups, the one that is open last
};

/// Lanes show their values for one operation while slow ones still read those of the one before.
struct Warp {
  std::array<std::array<std::byte, kWarpLanes * kLaneBytes>, 2> shown{};
  std::size_t turn = 0;
  int arrived = 0;
  WarpOperation operation = WarpOperation::shuffle;
};

class BlockRunner {
 public:
  void run(LaunchGrid grid, int threads, std::size_t shared_bytes,
           const std::function<void()>& kernel) {
    prepare(threads, shared_bytes);
    kernel_ = &kernel;
    for (unsigned z = 0; z < grid.z; ++z) {
      for (unsigned y = 0; y < grid.y; ++y) {
        for (unsigned x = 0; x < grid.x; ++x) {
          place_ = {0, threads, static_cast<int>(x), static_cast<int>(y), static_cast<int>(z)};
          run_block();
        }
      }
    }
  }

  [[nodiscard]] const Place& place() const { return place_; }
  [[nodiscard]] std::byte* memory() { return memory_.data(); }

  void wait_for_block() { leave(Waiting::block); }

  void copy_later(std::byte* target, const std::byte* source) {
    current().copies.back().push_back({target, source});
  }

  void close_copies() { current().copies.emplace_back(); }

  void wait_for_copies(std::size_t open) {
    std::deque<std::vector<Copy>>& groups = current().copies;
    while (groups.size() > open + 1) {
      for (const Copy& copy : groups.front()) {
        if (copy.source == nullptr) {
          std::memset(copy.target, 0, 16);
        } else {
          std::memcpy(copy.target, copy.source, 16);
        }
      }
      groups.pop_front();
    }
  }

  const std::byte* exchange(WarpOperation operation, const void* value, std::size_t size_bytes) {
    const int lane = current().index % kWarpLanes;
    const int first = current().index - lane;
    Warp& warp = warps_[static_cast<std::size_t>(first / kWarpLanes)];
    if (warp.arrived > 0 && warp.operation != operation) {
      throw InternalError("lanes of a warp do different things together");
    }
    if (size_bytes > kLaneBytes) throw InternalError("a lane shows too much");
    warp.operation = operation;
    std::array<std::byte, kWarpLanes* kLaneBytes>& shown = warp.shown[warp.turn % 2];
    std::memcpy(shown.data() + static_cast<std::size_t>(lane) * kLaneBytes, value, size_bytes);
    if (++warp.arrived < kWarpLanes) {
      leave(Waiting::warp);
    } else {
      warp.arrived = 0;
      ++warp.turn;
      for (int i = first; i < first + kWarpLanes; ++i) {
        Thread& other = *threads_[static_cast<std::size_t>(i)];
        if (other.waiting == Waiting::warp) other.waiting = Waiting::no;
      }
    }
    return shown.data();
  }

 private:
  Thread& current() {
    if (current_ == nullptr) throw InternalError("only a kernel may wait for its block or warp");
    return *current_;
  }

  void prepare(int threads, std::size_t shared_bytes) {
    if (threads < 1 || threads > 1024 || threads % kWarpLanes != 0) {
      throw InternalError("a block has whole warps and at most 1024 threads, not " +
                          std::to_string(threads));
    }
    while (threads_.size() < static_cast<std::size_t>(threads)) {
      threads_.push_back(std::make_unique<Thread>());
    }
    live_ = threads;
    memory_.resize(shared_bytes + 16);
  }

  void run_block() {
    std::memset(memory_.data(), 0xFF, memory_.size());
    warps_.assign(static_cast<std::size_t>(live_ / kWarpLanes), Warp{});
    for (int i = 0; i < live_; ++i) {
      Thread& thread = *threads_[static_cast<std::size_t>(i)];
      thread.index = i;
      thread.waiting = Waiting::no;
      thread.copies.assign(1, {});
      thread.fiber.start(&BlockRunner::thread_main, this);
    }
    failure_ = nullptr;
    int done = 0;
    while (done < live_) {
      bool went_on = false;
      for (int first = 0; first < live_; first += kWarpLanes) went_on = run_warp(first) || went_on;
      const int at_barrier = count(Waiting::block);
      done = count(Waiting::done);
      if (at_barrier == live_) {
        for (int i = 0; i < live_; ++i)
          threads_[static_cast<std::size_t>(i)]->waiting = Waiting::no;
      } else if (!went_on && done < live_) {
        throw InternalError("threads of a block wait at different places: " +
                            std::to_string(at_barrier) + " at a barrier, " + std::to_string(done) +
                            " of " + std::to_string(live_) + " have left");
      }
    }
  }

  /// Runs a warp until all of its lanes wait for the block or for a lane that does not come: what a
  /// warp owes another must be behind a barrier.
  bool run_warp(int first) {
    bool ever = false;
    bool went_on = true;
    while (went_on) {
      went_on = false;
      for (int i = first; i < first + kWarpLanes; ++i) {
        Thread& thread = *threads_[static_cast<std::size_t>(i)];
        if (thread.waiting != Waiting::no) continue;
        current_ = &thread;
        place_.thread = i;
        thread.fiber.resume();
        went_on = true;
        if (failure_) std::rethrow_exception(failure_);
        if (thread.waiting == Waiting::done) check_copies(thread);
      }
      ever = ever || went_on;
    }
    return ever;
  }

  [[nodiscard]] int count(Waiting why) const {
    return static_cast<int>(
        std::count_if(threads_.begin(), threads_.begin() + live_,
                      [why](const auto& thread) { return thread->waiting == why; }));
  }

  static void check_copies(const Thread& thread) {
    for (const std::vector<Copy>& group : thread.copies) {
      if (!group.empty()) throw InternalError("a thread leaves before its copies have arrived");
    }
  }

  void leave(Waiting why) {
    Thread& thread = current();
    thread.waiting = why;
    thread.fiber.suspend();
  }

  static void thread_main(void* runner) { static_cast<BlockRunner*>(runner)->run_thread(); }

  void run_thread() {
    try {
      (*kernel_)();
    } catch (...) {
      failure_ = std::current_exception();
    }
    leave(Waiting::done);
  }

  const std::function<void()>* kernel_ = nullptr;
  std::vector<std::unique_ptr<Thread>> threads_;  ///< kept for the next block
  std::vector<Warp> warps_;
  std::vector<std::byte> memory_;
  Thread* current_ = nullptr;
  Place place_;
  int live_ = 0;
  std::exception_ptr failure_;
};

/// One for every thread of the host that runs kernels.
BlockRunner& runner() {
  static thread_local BlockRunner one;
  return one;
}

}  // namespace

const Place& place() { return runner().place(); }

void run_grid(LaunchGrid grid, int threads, std::size_t shared_bytes,
              const std::function<void()>& kernel) {
  runner().run(grid, threads, shared_bytes, kernel);
}

void wait_for_block() { runner().wait_for_block(); }

void copy_later(std::byte* target, const std::byte* source) { runner().copy_later(target, source); }
void close_copies() { runner().close_copies(); }
void wait_for_copies(std::size_t open) { runner().wait_for_copies(open); }

std::byte* block_memory() { return runner().memory(); }

const std::byte* exchange_in_warp(WarpOperation operation, const void* value,
                                  std::size_t size_bytes) {
  return runner().exchange(operation, value, size_bytes);
}

}  // namespace gridmill::cuda::emulation
