#pragma once

#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace gridmill::test {

/// A Python 3 that has h5py, or "" if there is none on this machine.
inline const std::string& python_with_h5py() {
  static const std::string found = [] {
    for (const std::string python : {"/usr/bin/python3", "python3"}) {
      // NOLINTNEXTLINE(cert-env33-c): tests run programs
      if (std::system((python + " -c 'import h5py' > /dev/null 2>&1").c_str()) == 0) return python;
    }
    return std::string();
  }();
  return found;
}

struct PythonResult {
  int exit_code = -1;
  std::string output;  ///< stdout and stderr
};

/// Runs `script` (without single quotes) with `argument` as sys.argv[1].
inline PythonResult run_python(const std::string& script, const std::string& argument) {
  const std::string command = python_with_h5py() + " -c '" + script + "' '" + argument + "' 2>&1";
  PythonResult result;
  FILE* const pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return result;
  std::array<char, 4096> buffer{};
  for (std::size_t got = 0; (got = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) {
    result.output.append(buffer.data(), got);
  }
  const int status = ::pclose(pipe);
  if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  return result;
}

}  // namespace gridmill::test

/// For tests whose other half is h5py.
#define GRIDMILL_NEEDS_H5PY()                                           \
  if (::gridmill::test::python_with_h5py().empty()) {                   \
    GTEST_SKIP() << "needs a python3 with h5py (Debian: python3-h5py)"; \
  }
