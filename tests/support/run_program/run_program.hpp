#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

namespace gridmill::test {

/// What a finished program left.
struct ProgramResult {
  int exit_code = 0;  ///< 128 + signal if it was killed
  std::string out;
  std::string err;
};

/// Runs `command` (no shell) in `folder` and waits. Environment: this process's, plus `environment`
/// ("NAME=value").
[[nodiscard]] ProgramResult run_program(const std::vector<std::string>& command,
                                        const std::filesystem::path& folder,
                                        const std::vector<std::string>& environment = {});

/// Starts `command` as run_program does, but does not wait; its stderr goes to `errors` in
/// `folder`, its stdout nowhere. Every started program is ended by wait_for_program().
[[nodiscard]] pid_t start_program(const std::vector<std::string>& command,
                                  const std::filesystem::path& folder, const std::string& errors);
/// Waits until a started program ends. @return its exit code, 128 + signal if it was killed
int wait_for_program(pid_t program);

/// The launcher of this build's MPI (tests/support/launch.sh.in), "-n" and `ranks` in front of
/// `command`. One rank runs without launcher.
[[nodiscard]] std::vector<std::string> under_mpirun(int ranks, std::vector<std::string> command);
/// Processes that `parent` has started and not waited for.
[[nodiscard]] std::vector<pid_t> children_of(pid_t parent);
/// Processes of the ranks that a launcher has started so far, in the order of ranks.
[[nodiscard]] std::vector<pid_t> ranks_of(pid_t launcher);

/// Whole content of a file.
[[nodiscard]] std::string slurp(const std::filesystem::path& path);

}  // namespace gridmill::test
