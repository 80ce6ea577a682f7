#pragma once

#include <signal.h>  // NOLINT(modernize-deprecated-headers): sigset_t is POSIX

#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

namespace gridmill {

/// @throws ResourceError: the system refused `error` for a thread that serves `purpose`.
[[noreturn]] void throw_no_thread(std::string_view purpose, const std::system_error& error);

/// Starts a thread that its owner joins.
/// @param purpose  completes "cannot start a thread for ...".
/// @throws ResourceError if the system refuses: a limit of processes, tasks or memory.
template <typename Function>
[[nodiscard]] std::jthread start_thread(std::string_view purpose, Function&& function) {
  try {
    return std::jthread(std::forward<Function>(function));
  } catch (const std::system_error& error) {
    throw_no_thread(purpose, error);
  }
}

/// Blocks signals for the life of the object. A thread that is started meanwhile inherits the mask
/// and takes none: they belong to the threads of the program. Faults of the thread itself still
/// reach their handlers.
class WithoutSignals {
 public:
  WithoutSignals();
  WithoutSignals(const WithoutSignals&) = delete;
  WithoutSignals& operator=(const WithoutSignals&) = delete;
  ~WithoutSignals();

 private:
  sigset_t before_{};
};

}  // namespace gridmill
