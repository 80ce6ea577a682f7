// Prompts are read ahead of need while a job runs; what happens if the file changes meanwhile.

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "cli/cli_fixture.hpp"

namespace gridmill::test {
namespace {

namespace fs = std::filesystem;

/// Waits a minute at most.
bool appears(const std::string& path) {
  for (int i = 0; i < 6000; ++i) {
    if (fs::exists(path)) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

void expect_the_end_of_a_job_whose_prompts_are_cut(int ranks,
                                                   const std::vector<std::string>& grid) {
  std::string prompts;
  for (int i = 0; i < 3000; ++i)
    prompts += "Once upon a time there were " + std::to_string(i) + "\n";
  cli().folder().write("shrinking.txt", prompts);
  cli().remove_output();
  std::vector<std::string> command = {
      GRIDMILL_PROGRAM, "generate", "--model",     "stories.h5", "--prompts",    "shrinking.txt",
      "--output",       "out.h5",   "--threads",   "1",          "--slots",      "2",
      "--progress",     "none",     "--log-level", "warn",       "--max-length", "200"};
  command.insert(command.end(), grid.begin(), grid.end());
  const pid_t program =
      start_program(under_mpirun(ranks, command), cli().folder().path(), "err.txt");
  const bool begun = appears(cli().file("out.h5.runs.jsonl"));
  fs::resize_file(cli().file("shrinking.txt"), 100);
  EXPECT_EQ(wait_for_program(program), 65);
  EXPECT_TRUE(begun);
  const std::string errors = slurp(cli().folder().path() / "err.txt");
  EXPECT_NE(errors.find("gridmill: error: shrinking.txt is cut short"), std::string::npos)
      << errors;
}

TEST(PromptsCutWhileAJobRuns, EndItWithTheNameOfTheFile) {
  expect_the_end_of_a_job_whose_prompts_are_cut(1, {});
}

TEST(PromptsCutWhileAJobRuns, EndAllRanksOfATensorParallelGroup) {
  expect_the_end_of_a_job_whose_prompts_are_cut(2, {"--tp", "2"});
}

}  // namespace
}  // namespace gridmill::test
