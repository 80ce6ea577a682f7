// Every single call by which a run changes or syncs a file, from the first byte of the new file to
// the last line of the run log, is the last one of a killed process once, and fails once. What is
// left must be usable by the next run, whose file must equal that of a run that nothing happened
// to.

#include <gtest/gtest.h>
#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): setenv is POSIX
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <string>

#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/results/recovery.hpp"
#include "gridmill/results/result_file.hpp"
#include "support/temporary_folder.hpp"

namespace gridmill {
namespace {

constexpr int kKilled = 1000;  // instead of an exit code

/// Runs the writer on `path` under the shim with `plan` ("" = without). @return exit code.
int run_writer(const std::string& path, const std::string& plan) {
  const pid_t process = ::fork();
  if (process == 0) {
    if (!plan.empty()) {
      ::setenv("LD_PRELOAD", GRIDMILL_STORE_SHIM, 1);
      ::setenv("GRIDMILL_SHIM", plan.c_str(), 1);
    }
    if (::freopen("/dev/null", "w", stderr) == nullptr) ::_exit(127);
    ::execl(GRIDMILL_STORE_WRITER, GRIDMILL_STORE_WRITER, path.c_str(), nullptr);
    ::_exit(127);
  }
  int status = 0;
  ::waitpid(process, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : kKilled;
}

/// A fresh output for each broken call.
class StoreCrash : public ::testing::Test {
 protected:
  StoreCrash() {
    const std::string whole = folder_.file("whole.h5");
    EXPECT_EQ(run_writer(whole, ""), 0);
    expected_ = read_text_file(whole);
  }

  /// What a run with `plan` left behind is whole, and a second run makes the file complete.
  void check_aftermath(const std::string& plan) {
    if (std::filesystem::exists(path_)) {
      const ResultFile file = ResultFile::open(path_);
      const auto states = scan_rows(file.rows(), file.layout(), 0, file.layout().shape.rows);
      EXPECT_TRUE(rows_in_state(states, RowState::damaged).empty()) << plan;
    }
    EXPECT_EQ(run_writer(path_, ""), 0) << plan;
    EXPECT_TRUE(read_text_file(path_) == expected_) << plan;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
      EXPECT_NE(entry.path().extension(), ".tmp") << plan;
    }
  }

  void start_over() {
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
      std::filesystem::remove(entry.path());
    }
  }

  test::TemporaryFolder folder_;
  std::string path_ = folder_.file("out.h5");
  std::string expected_;
};

TEST_F(StoreCrash, AKillBeforeAnyCallLosesNothing) {
  int call = 1;
  for (;; ++call) {
    start_over();
    const std::string plan = "kill:" + std::to_string(call);
    const int code = run_writer(path_, plan);
    ASSERT_NO_FATAL_FAILURE(check_aftermath(plan));
    if (code == 0) break;  // the run has fewer calls
    ASSERT_EQ(code, kKilled) << plan;
  }
  EXPECT_GT(call, 40);  // else the shim was not there
}

TEST_F(StoreCrash, AKillAfterTheLastCallsOfACommitLosesNothing) {
  for (int call = 30; call < 60; call += 3) {
    start_over();
    const std::string plan = "killed:" + std::to_string(call);
    static_cast<void>(run_writer(path_, plan));
    ASSERT_NO_FATAL_FAILURE(check_aftermath(plan));
  }
}

TEST_F(StoreCrash, AFailedCallEndsTheRunWithItsCodeAndTheNextRunCompletes) {
  struct Fault {
    std::string what;
    int step;  // a full disk takes the same paths as a broken one: a sample will do
  };
  for (const auto& [what, step] : {Fault{"eio", 1}, Fault{"enospc", 6}}) {
    int created_at = 0;  // first call at which the file is there already
    for (int call = 1;; call += step) {
      start_over();
      const std::string plan = what + ":" + std::to_string(call);
      const int code = run_writer(path_, plan);
      const bool created = std::filesystem::exists(path_);
      if (created && created_at == 0) created_at = call;
      ASSERT_NO_FATAL_FAILURE(check_aftermath(plan));
      if (code == 0) {
        EXPECT_GT(call, created_at + 15);
        break;
      }
      // 73 while there is no file yet, 74 later.
      if (!created) {
        ASSERT_EQ(code, static_cast<int>(ExitCode::output_refused)) << plan;
      } else {
        ASSERT_EQ(code, static_cast<int>(ExitCode::io)) << plan;
      }
    }
  }
}

TEST_F(StoreCrash, ShortWritesAreContinued) {
  for (int call = 1; call < 60; call += 4) {
    start_over();
    const std::string plan = "short:" + std::to_string(call);
    ASSERT_EQ(run_writer(path_, plan), 0) << plan;
    ASSERT_TRUE(read_text_file(path_) == expected_) << plan;
  }
}

}  // namespace
}  // namespace gridmill
