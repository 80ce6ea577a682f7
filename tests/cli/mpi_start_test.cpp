// What MPI does at the start of the program: alone, and in a container that refuses system calls.

#include <gtest/gtest.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): kill is POSIX
#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): setenv is POSIX
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "cli/cli_fixture.hpp"

namespace gridmill::test {
namespace {

namespace fs = std::filesystem;

/// A job of stories.h5 that writes `output`.
std::vector<std::string> job(const std::string& output, const std::string& samples) {
  return {GRIDMILL_PROGRAM, "generate",     "--model",     "stories.h5", "--prompts",
          "prompts.txt",    "--output",     output,        "--threads",  "1",
          "--progress",     "none",         "--log-level", "warn",       "--samples-per-prompt",
          samples,          "--max-length", "60"};
}

/// Processes, other than this one, whose environment has `variable`.
std::vector<std::string> processes_with(const std::string& variable) {
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string pid = entry.path().filename();
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    if (pid == std::to_string(::getpid())) continue;
    try {
      if (slurp(entry.path() / "environ").find(variable) != std::string::npos) {
        found.push_back(pid + " " + slurp(entry.path() / "comm"));
      }
    } catch (const std::exception&) {
      continue;  // it has ended meanwhile
    }
  }
  return found;
}

TEST(OneRankWithoutALauncher, StartsNoProcessAndLeavesNone) {
  fs::remove(cli().file("alone.h5"));
  const std::string mark = cli().file("mark-of-this-test");
  ::setenv("GRIDMILL_TEST_MARK", mark.c_str(), 1);
  const pid_t program = start_program(job("alone.h5", "5000"), cli().folder().path(), "err.txt");
  ::unsetenv("GRIDMILL_TEST_MARK");
  for (int i = 0; i < 6000 && !fs::exists(cli().file("alone.h5.runs.jsonl")); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  const std::vector<std::string> while_it_runs = processes_with(mark);
  ::kill(program, SIGTERM);
  EXPECT_EQ(wait_for_program(program), 75) << slurp(cli().file("err.txt"));
  ASSERT_EQ(while_it_runs.size(), 1U) << ::testing::PrintToString(while_it_runs);
  EXPECT_EQ(while_it_runs[0], std::to_string(program) + " gridmill\n");
  EXPECT_TRUE(processes_with(mark).empty()) << ::testing::PrintToString(processes_with(mark));
}

TEST(CallsThatAContainerRefuses, ChangeNoBitAndFillNoLog) {
  for (const char* name : {"contained.h5", "plain.h5"}) fs::remove(cli().file(name));
  std::vector<std::string> command = job("contained.h5", "1");
  command.insert(command.begin(), GRIDMILL_REFUSE_CALLS);
  for (const char* word : {"--fsdp", "4", "--fsdp-min-weight-size", "0"})
    command.emplace_back(word);
  const ProgramResult contained = run_program(under_mpirun(4, command), cli().folder().path());
  if (contained.err.find("no seccomp filters here") != std::string::npos) {
    GTEST_SKIP() << "needs a kernel with seccomp filters";
  }
  ASSERT_EQ(contained.exit_code, 0) << contained.err;
  EXPECT_LE(std::count(contained.err.begin(), contained.err.end(), '\n'), 2) << contained.err;
  ASSERT_EQ(run_program(job("plain.h5", "1"), cli().folder().path()).exit_code, 0);
  EXPECT_EQ(slurp(cli().file("contained.h5")), slurp(cli().file("plain.h5")));
}

}  // namespace
}  // namespace gridmill::test
