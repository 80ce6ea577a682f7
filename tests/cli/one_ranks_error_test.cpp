// What goes wrong on one rank, or on all of them, ends the whole job: within seconds, with one code
// and one line.

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "cli/cli_fixture.hpp"
#include "cli/error_line.hpp"

namespace gridmill {
namespace {

using test::cli;
using test::cut_copy;
using test::fails_with;
using test::ProgramResult;
using Words = std::vector<std::string>;

/// Far more than leaving takes, also with several ranks a core.
constexpr std::chrono::seconds kSoon{30};

/// Two ranks of one job, the second started with other words than the first.
ProgramResult run_two(const Words& first, const Words& second) {
  cli().remove_output();
  const auto rank = [](const Words& words) {
    Words command = {GRIDMILL_PROGRAM, "generate", "--prompts",    "prompts.txt",
                     "--output",       "out.h5",   "--max-length", "24",
                     "--temperature",  "0",        "--threads",    "1",
                     "--progress",     "none",     "--log-level",  "warn"};
    command.insert(command.end(), words.begin(), words.end());
    return command;
  };
  Words whole = test::under_mpirun(2, rank(first));
  whole[2] = "1";  // mpirun -n 1 FIRST : -n 1 SECOND
  whole.insert(whole.end(), {":", "-n", "1"});
  const Words other = rank(second);
  whole.insert(whole.end(), other.begin(), other.end());
  return test::run_program(whole, cli().folder().path());
}

template <typename Run>
void expect_soon(const Run& run, int code, const Words& words) {
  const auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(fails_with(run(), code, words));
  EXPECT_LT(std::chrono::steady_clock::now() - start, kSoon);
}

TEST(EveryRanksError, IsToldOnceAndEndsTheJobWithinSeconds) {
  cut_copy("stories.h5", "short.h5", 0.5);
  cli().folder().write("prompts.csv", "Ben\n");
  const auto both = [](const Words& options, int code, const char* word) {
    expect_soon([&] { return cli().generate(options, 2); }, code, {word});
  };
  both({"--model", "none.h5"}, 66, "none.h5");
  both({"--model", "short.h5"}, 65, "short.h5");
  both({"--prompts", "none.txt"}, 66, "none.txt");
  both({"--prompts", "prompts.csv"}, 64, "prompts.csv");
  both({"--output", "none/out.h5"}, 73, "none/out.h5");
  both({"--tp", "3"}, 64, "--tp is 3");
  both({"--resume", "require"}, 66, "out.h5");
  both({"--no-such-option"}, 64, "no-such-option");
}

TEST(OneRanksError, OfItsModelEndsBoth) {
  cut_copy("stories.h5", "short.h5", 0.5);
  const Words good = {"--model", "stories.h5"};
  const auto second = [&](const char* model) {
    return [&good, model] { return run_two(good, {"--model", model}); };
  };
  expect_soon(second("none.h5"), 66, {"none.h5"});
  expect_soon(second("short.h5"), 65, {"short.h5"});
  expect_soon(second("shakespeare.h5"), 65, {"rank 1", "shakespeare.h5", "another model"});
  const auto first = [&] { return run_two({"--model", "none.h5"}, good); };
  expect_soon(first, 66, {"none.h5"});
}

TEST(OneRanksError, OfItsOptionsEndsBoth) {
  cli().folder().write("odd.cfg", "samples-per-prompt = many\n");
  const Words good = {"--model", "stories.h5"};
  const auto second = [&](const Words& options) {
    return [&good, options] {
      Words words = {"--model", "stories.h5"};
      words.insert(words.end(), options.begin(), options.end());
      return run_two(good, words);
    };
  };
  expect_soon(second({"--no-such-option"}), 64, {"no-such-option"});
  expect_soon(second({"--config", "none.cfg"}), 66, {"none.cfg"});
  expect_soon(second({"--config", "odd.cfg"}), 64, {"odd.cfg"});
  expect_soon(second({"--backend", "abacus"}), 64, {"abacus"});
  expect_soon(second({"--fsdp", "2"}), 64, {"rank 1", "--fsdp is '2'", "not given on rank 0"});
  expect_soon(second({"--help"}), 64, {"rank 1", "--help"});
}

TEST(OneRanksOptions, MayDifferInWhatNeverChangesARow) {
  const Words good = {"--model", "stories.h5"};
  const ProgramResult result =
      run_two(good, {"--model", cli().file("stories.h5"), "--kernel-target", "avx2"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(cli().last_run().at("exit_code"), 0);
}

}  // namespace
}  // namespace gridmill
