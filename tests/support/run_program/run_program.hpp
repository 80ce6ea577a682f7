#pragma once

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

/// `mpirun -n ranks` with the flags that let more ranks than cores run, also as root, in front of
/// `command`. One rank runs without launcher.
[[nodiscard]] std::vector<std::string> under_mpirun(int ranks, std::vector<std::string> command);

/// Whole content of a file.
[[nodiscard]] std::string slurp(const std::filesystem::path& path);

}  // namespace gridmill::test
