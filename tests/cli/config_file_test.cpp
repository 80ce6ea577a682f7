// What a config file says is what it looks like, and commands without ranks run anywhere.

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "cli/cli_fixture.hpp"
#include "cli/error_line.hpp"

namespace gridmill {
namespace {

namespace fs = std::filesystem;
using test::cli;
using test::fails_with;
using test::ProgramResult;

ProgramResult generate_with(const std::string& config) {
  cli().folder().write("job.cfg",
                       "model = stories.h5\nprompts = prompts.txt\nmax-length = 24\n" + config);
  return cli().run({"generate", "--config", "job.cfg", "--progress", "none"});
}

TEST(ConfigFile, AHashSignInAValueIsPartOfIt) {
  ASSERT_EQ(generate_with("output = run#1.h5\n").exit_code, 0);
  ASSERT_EQ(generate_with("  # a comment\n#another\noutput=run#2.h5\r\n").exit_code, 0);
  EXPECT_TRUE(fs::exists(cli().file("run#1.h5")));
  EXPECT_TRUE(fs::exists(cli().file("run#2.h5")));
  EXPECT_FALSE(fs::exists(cli().file("run")));
}

TEST(ConfigFile, WhatWouldBeReadInAnotherWayThanItLooksIsRefusedWithItsLine) {
  for (const std::string line :
       {"output = odd.h5 # mine", "output = \"odd.h5\"", "output = 'odd.h5'", "output =", "output",
        "[section]", "outputs = odd.h5", "config = job.cfg", "seed = 1\nseed = 2"}) {
    EXPECT_TRUE(fails_with(generate_with(line + "\n"), 64, {"job.cfg"})) << line;
  }
  EXPECT_TRUE(fails_with(generate_with("\noutput = odd.h5 #1\n"), 64, {"line 5", "comment"}));
  EXPECT_FALSE(fs::exists(cli().file("odd.h5")));
}

TEST(ConfigFile, MayComeThroughAPipe) {
  const ProgramResult result =
      test::run_program({"sh", "-c",
                         "printf 'model = stories.h5\\nprompts = prompts.txt\\nmax-length = "
                         "24\\noutput = piped.h5\\n'"
                         " | \"$0\" generate --config /dev/stdin --progress none",
                         GRIDMILL_PROGRAM},
                        cli().folder().path());
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(fs::exists(cli().file("piped.h5")));
}

TEST(SlurmShell, CommandsWithoutRanksRun) {
  ASSERT_EQ(cli().generate({}).exit_code, 0);
  const std::vector<std::string> step = {"SLURM_STEP_NUM_TASKS=4", "SLURM_STEPID=0",
                                         "SLURM_PROCID=2", "SLURM_TASK_PID=1", "PMIX_RANK=2"};
  for (const auto& command :
       std::vector<std::vector<std::string>>{{"status", "out.h5"},
                                             {"inspect", "stories.h5"},
                                             {"export", "out.h5"},
                                             {"export", "out.h5", "-o", "rows.jsonl"}}) {
    const ProgramResult result = cli().run(command, 1, step);
    EXPECT_EQ(result.exit_code, 0) << command.front() << ": " << result.err;
    EXPECT_EQ(result.out, cli().run(command).out);
  }
  const ProgramResult ids = test::run_program(
      {"sh", "-c", "echo Tim | \"$0\" tokenize --model stories.h5", GRIDMILL_PROGRAM},
      cli().folder().path(), step);
  EXPECT_EQ(ids.exit_code, 0) << ids.err;
  EXPECT_TRUE(
      fails_with(cli().run({"convert", "stories.h5", "x.h5"}, 1, {"SLURM_STEP_NUM_TASKS=4"}), 64,
                 {"SLURM_STEP_NUM_TASKS"}))
      << "it writes a file that all tasks would share";
}

TEST(RepackedResult, IsReadButNotContinued) {
  if (test::run_program({"sh", "-c", "command -v h5repack"}, cli().folder().path()).exit_code !=
      0) {
    GTEST_SKIP() << "needs h5repack (Debian: hdf5-tools)";
  }
  ASSERT_EQ(cli().generate({}).exit_code, 0);
  const std::string rows = cli().run({"export", "out.h5"}).out;
  for (const std::string how : {"", "-L", "-S PAGE", "-S AGGR", "-f NONE -l CONTI"}) {
    fs::remove(cli().file("small.h5"));
    ASSERT_EQ(test::run_program({"sh", "-c", "h5repack " + how + " out.h5 small.h5"},
                                cli().folder().path())
                  .exit_code,
              0);
    const ProgramResult status = cli().run({"status", "small.h5"});
    EXPECT_EQ(status.exit_code, 0) << how << status.err;
    EXPECT_EQ(
        cli().run({"export", "small.h5", "--model", "stories.h5", "--prompts", "prompts.txt"}).out,
        rows)
        << how;
    EXPECT_EQ(cli()
                  .run({"verify", "small.h5", "--model", "stories.h5", "--prompts", "prompts.txt"})
                  .exit_code,
              0)
        << how;
  }
  fs::remove(cli().file("small.h5"));
  ASSERT_EQ(
      test::run_program({"h5repack", "-f", "GZIP=4", "out.h5", "small.h5"}, cli().folder().path())
          .exit_code,
      0);
  EXPECT_TRUE(fails_with(cli().run({"status", "small.h5"}), 65, {"one piece", "h5repack"}));
}

}  // namespace
}  // namespace gridmill
