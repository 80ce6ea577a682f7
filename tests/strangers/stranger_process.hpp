#pragma once

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

extern char** environ;  // NOLINT(readability-redundant-declaration): not every unistd.h has it

namespace gridmill::test {

/// Runs stranger.cpp as user 65534 for some seconds. Needs root.
class StrangerProcess {
 public:
  explicit StrangerProcess(double seconds) {
    std::string program = GRIDMILL_STRANGER;
    std::string user = "65534";
    std::string time = std::to_string(seconds);
    std::string sockets = "all";
    char* const arguments[] = {program.data(), user.data(), time.data(),  // NOLINT
                               sockets.data(), nullptr};
    if (::posix_spawn(&pid_, program.c_str(), nullptr, nullptr, arguments, environ) != 0) pid_ = -1;
  }
  StrangerProcess(const StrangerProcess&) = delete;
  StrangerProcess& operator=(const StrangerProcess&) = delete;
  ~StrangerProcess() {
    if (pid_ > 0) static_cast<void>(exit_code());
  }
  /// Whether it still runs.
  [[nodiscard]] bool running() {
    int status = 0;
    if (pid_ <= 0 || ::waitpid(pid_, &status, WNOHANG) == 0) return pid_ > 0;
    keep(status);
    return false;
  }
  /// Waits for its end. 0: it got nothing, 3: a descriptor, 4: a proof that it may not have.
  [[nodiscard]] int exit_code() {
    int status = 0;
    if (pid_ > 0 && ::waitpid(pid_, &status, 0) == pid_) keep(status);
    return exit_code_;
  }

 private:
  void keep(int status) {
    pid_ = 0;
    exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
  }

  pid_t pid_ = -1;
  int exit_code_ = -1;
};

}  // namespace gridmill::test
