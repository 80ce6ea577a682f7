#pragma once

#include <cstddef>
#include <memory>

namespace gridmill::cuda::emulation {

/// A function that runs on a stack of its own and can be left in the middle. x86-64 only.
class Fiber {
 public:
  Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;
  ~Fiber();

  /// The next resume() starts entry(argument). It must not return: it ends in a last suspend().
  void start(void (*entry)(void*), void* argument);
  /// Runs the fiber until it suspends.
  void resume();
  /// Called by the fiber itself: back to whoever resumed it.
  void suspend();

 private:
  std::byte* stack_;
  void* own_ = nullptr;     ///< stack pointer of the fiber while it is left
  void* caller_ = nullptr;  ///< of the caller while it runs
};

}  // namespace gridmill::cuda::emulation
