// What users get wrong: each case leaves with the documented exit code and one line that names what
// is wrong.

#include <gtest/gtest.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): kill is POSIX

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "cli/cli_fixture.hpp"
#include "cli/error_line.hpp"
#include "gridmill/h5/file.hpp"

namespace gridmill {
namespace {

using test::cli;
using test::cut_copy;
using test::fails_with;
using test::ProgramResult;
using test::slurp;

void flip_byte(const std::string& name, std::uint64_t offset) {
  std::fstream file(cli().file(name), std::ios::binary | std::ios::in | std::ios::out);
  file.seekg(static_cast<std::streamoff>(offset));
  const char byte = static_cast<char>(file.get() ^ 0x40);
  file.seekp(static_cast<std::streamoff>(offset));
  file.put(byte);
  file.close();
  ASSERT_TRUE(file);
}

StoredRow stored(RowId row) { return cli().result().read_row(row); }

testing::AssertionResult is_failed(RowId row, const std::string& reason) {
  const StoredRow found = stored(row);
  if (found.record.status == static_cast<std::uint16_t>(RowStatus::failed) &&
      found.record.finish_reason == static_cast<std::uint16_t>(FinishReason::error) &&
      found.failure.find(reason) != std::string::npos) {
    return testing::AssertionSuccess();
  }
  return testing::AssertionFailure() << "row " << row << " has status " << found.record.status
                                     << " and failure '" << found.failure << "'";
}

bool is_done(RowId row) {
  return stored(row).record.status == static_cast<std::uint16_t>(RowStatus::done);
}

TEST(BadModel, IsMissing) {
  EXPECT_TRUE(fails_with(cli().generate({"--model", "none.h5"}), 66, {"none.h5"}));
  EXPECT_FALSE(std::filesystem::exists(cli().file("out.h5")));
}

TEST(BadModel, IsNotHdf5) {
  cli().folder().write("text.h5", std::string(5000, 'x'));
  EXPECT_TRUE(fails_with(cli().generate({"--model", "text.h5"}), 65, {"text.h5"}));
}

TEST(BadModel, IsAnotherHdf5File) {
  ASSERT_EQ(cli().generate({}).exit_code, 0);
  std::filesystem::copy_file(cli().file("out.h5"), cli().file("result.h5"),
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_TRUE(fails_with(cli().generate({"--model", "result.h5"}), 65, {"result.h5"}));
}

TEST(BadModel, IsCutShort) {
  for (const double share : {0.05, 0.5, 0.999}) {
    cut_copy("stories.h5", "short.h5", share);
    EXPECT_TRUE(fails_with(cli().generate({"--model", "short.h5"}), 65, {"short.h5"})) << share;
  }
}

TEST(BadPrompts, AreMissing) {
  EXPECT_TRUE(fails_with(cli().generate({"--prompts", "none.txt"}), 66, {"none.txt"}));
}

TEST(BadPrompts, HaveAnUnknownExtension) {
  cli().folder().write("prompts.csv", "Ben\n");
  EXPECT_TRUE(fails_with(cli().generate({"--prompts", "prompts.csv"}), 64, {"prompts.csv"}));
}

TEST(BadPrompts, BrokenLinesAreFailedRowsWithAReason) {
  cli().folder().write("broken.jsonl",
                       "{\"prompt\": \"Ben\"}\n"
                       "no json\n"
                       "{\"text\": \"Ben\"}\n"
                       "{\"prompt\": 7}\n"
                       "{\"prompt\": \"The cat\"}\n");
  const ProgramResult result = cli().generate({"--prompts", "broken.jsonl"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.err.find("3 "), std::string::npos) << "how many rows failed: " << result.err;
  EXPECT_TRUE(is_done(0));
  EXPECT_TRUE(is_failed(1, "line 2 is not a JSON object"));
  EXPECT_TRUE(is_failed(2, "line 3 has no field 'prompt'"));
  EXPECT_TRUE(is_failed(3, "line 4: field 'prompt'"));
  EXPECT_TRUE(is_done(4));
}

TEST(BadPrompts, IdsOutOfRangeAreFailedRows) {
  h5::File file = h5::File::create(cli().file("ids.h5"));
  const std::vector<std::int32_t> ids = {1, 300, 1, 512, 1, -5};
  file.create_dataset("/prefix_tokens", h5::ElementType::of(h5::Kind::i32), {3, 2})
      .write_rows(0, 3, std::as_bytes(std::span(ids)));
  file.close();
  EXPECT_EQ(cli().generate({"--prompts", "ids.h5"}).exit_code, 1);
  EXPECT_TRUE(is_done(0));
  EXPECT_TRUE(is_failed(1, "token id 512"));
  EXPECT_TRUE(is_failed(2, "-5"));
}

TEST(BadPrompts, LongerThanMaxLengthAreFailedRows) {
  EXPECT_EQ(cli().generate({"--max-length", "6"}).exit_code, 1);
  EXPECT_TRUE(is_failed(3, "more than max-length 6"));
  EXPECT_TRUE(is_done(1));
}

TEST(BadPrompts, FarLongerThanMaxLengthAreFailedRowsWithoutBeingEncoded) {
  std::string line;
  while (line.size() < (std::size_t{3} << 19)) line += "Once upon a time ";
  cli().folder().write("far.txt", line + "\nThe cat\n");
  EXPECT_EQ(cli().generate({"--prompts", "far.txt"}).exit_code, 1);
  EXPECT_TRUE(is_failed(0, "the prompt has at least "));
  EXPECT_TRUE(is_failed(0, " tokens, more than max-length 24"));
  EXPECT_TRUE(is_done(1));
  // Where the end is kept, the end has to be known.
  EXPECT_EQ(cli()
                .generate({"--prompts", "far.txt", "--truncate-prompt", "left",
                           "--max-prompt-tokens", "9"})
                .exit_code,
            0);
}

TEST(BadGrid, DoesNotMatchTheRanks) {
  for (const std::vector<std::string>& grid : std::vector<std::vector<std::string>>{
           {"--dp", "2", "--fsdp", "2"}, {"--dp", "3"}, {"--fsdp", "4"}, {"--tp", "4"}}) {
    EXPECT_TRUE(fails_with(cli().generate(grid, 2), 64, {grid[0]}));
  }
  EXPECT_TRUE(fails_with(cli().generate({"--fsdp", "2"}), 64, {"--fsdp", "mpirun"}) ||
              fails_with(cli().generate({"--fsdp", "2"}), 64, {"--fsdp", "start a multiple"}));
}

TEST(BadGrid, TpThreeIsNone) {
  EXPECT_TRUE(fails_with(cli().generate({"--tp", "3"}), 64, {"--tp is 3"}));
}

TEST(BadGrid, TpMustDivideTheHeads) {
  EXPECT_TRUE(fails_with(cli().generate({"--model", "shakespeare.h5", "--tp", "8"}, 8), 64,
                         {"tp = 8", "4 heads"}));
}

TEST(BadLaunch, TasksWithoutMpiAreAUsageError) {
  for (const std::string variable : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"}) {
    EXPECT_TRUE(fails_with(cli().run({"generate", "--model", "stories.h5", "--prompts",
                                      "prompts.txt", "--output", "alone.h5"},
                                     1, {variable + "=4"}),
                           64, {variable}));
  }
  EXPECT_FALSE(std::filesystem::exists(cli().file("alone.h5")));
}

TEST(BadOutput, LiesInAMissingFolder) {
  EXPECT_TRUE(fails_with(cli().generate({"--output", "none/out.h5"}), 73, {"none/out.h5"}));
}

TEST(BadOutput, BelongsToAnotherJob) {
  ASSERT_EQ(cli().generate({}).exit_code, 0);
  const std::string before = slurp(cli().file("out.h5"));
  EXPECT_TRUE(fails_with(cli().generate_again({"--seed", "7"}), 73, {"out.h5", "seed", "7"}));
  EXPECT_TRUE(fails_with(cli().generate_again({"--max-length", "25"}), 73, {"max_length", "25"}));
  EXPECT_TRUE(fails_with(cli().generate_again({"--model", "shakespeare.h5"}), 73, {"model"}));
  EXPECT_EQ(slurp(cli().file("out.h5")), before) << "it stays as it is";
}

TEST(BadOutput, BelongsToThePromptsAsTheyWere) {
  cli().folder().write("changing.txt", "Ben\nThe cat\n");
  ASSERT_EQ(cli().generate({"--prompts", "changing.txt"}).exit_code, 0);
  cli().folder().write("changing.txt", "Ben\nThe dog\n");
  EXPECT_TRUE(fails_with(cli().generate_again({"--prompts", "changing.txt"}), 73, {"prompts"}));
}

TEST(BadOutput, BelongsToTheModelAsItWas) {
  std::filesystem::copy_file(cli().file("stories.h5"), cli().file("changing.h5"));
  ASSERT_EQ(cli().generate({"--model", "changing.h5"}).exit_code, 0);
  std::filesystem::remove(cli().file("changing.h5"));
  const std::string source = std::string(GRIDMILL_MODELS_DIR) + "/stories260K/";
  ASSERT_EQ(cli()
                .run({"convert", source + "stories260K.bin", "changing.h5", "--tokenizer",
                      source + "tok512.bin", "--dtype", "bf16"})
                .exit_code,
            0);
  EXPECT_TRUE(
      fails_with(cli().generate_again({"--model", "changing.h5"}), 73, {"out.h5", "model"}));
}

TEST(BadOutput, IsNotHdf5) {
  cli().remove_output();
  cli().folder().write("out.h5", std::string(5000, 'x'));
  EXPECT_TRUE(fails_with(cli().generate_again({}), 65, {"out.h5"}));
  EXPECT_EQ(slurp(cli().file("out.h5")), std::string(5000, 'x'));
}

TEST(BadOutput, IsCutShort) {
  ASSERT_EQ(cli().generate({}).exit_code, 0);
  std::filesystem::copy_file(cli().file("out.h5"), cli().file("whole.h5"),
                             std::filesystem::copy_options::overwrite_existing);
  for (const double share : {0.1, 0.5, 0.99}) {
    cut_copy("whole.h5", "out.h5", share);
    EXPECT_TRUE(fails_with(cli().generate_again({}), 65, {"out.h5"})) << share;
    EXPECT_TRUE(fails_with(cli().run({"status", "out.h5"}), 65, {"out.h5"})) << share;
  }
}

TEST(BadOutput, IsBeingWrittenByAnotherRun) {
  cli().remove_output();
  const std::vector<std::string> job = {"generate",    "--model",
                                        "stories.h5",  "--prompts",
                                        "prompts.txt", "--output",
                                        "out.h5",      "--threads",
                                        "1",           "--slots",
                                        "1",           "--max-length",
                                        "500",         "--samples-per-prompt",
                                        "1000",        "--temperature",
                                        "1",           "--eod-token-id=-1",
                                        "--progress",  "none"};
  std::vector<std::string> command = {GRIDMILL_PROGRAM};
  command.insert(command.end(), job.begin(), job.end());
  const pid_t first = test::start_program(command, cli().folder().path(), "first.err");
  const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!std::filesystem::exists(cli().file("out.h5.runs.jsonl")) &&
         std::chrono::steady_clock::now() < patience) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_TRUE(fails_with(cli().run(job), 73, {"another run is writing out.h5"}));
  ::kill(first, SIGTERM);
  EXPECT_EQ(test::wait_for_program(first), 75) << slurp(cli().file("first.err"));
}

/// A flipped byte in a finished file: resuming finds it, and the file is again what it was.
void expect_regenerated(std::uint64_t (*place)(const ResultLayout&)) {
  ASSERT_EQ(cli().generate({"--logprobs"}).exit_code, 0);
  const std::string before = slurp(cli().file("out.h5"));
  flip_byte("out.h5", place(cli().result().layout()));
  ASSERT_NE(slurp(cli().file("out.h5")), before);
  const ProgramResult again = cli().generate_again({"--logprobs"});
  EXPECT_EQ(again.exit_code, 0);
  EXPECT_NE(again.err.find("damaged"), std::string::npos) << again.err;
  EXPECT_EQ(cli().last_run().at("rows_to_do"), 1);
  EXPECT_TRUE(slurp(cli().file("out.h5")) == before) << "bytes differ from the undamaged file's";
}

TEST(DamagedRow, InItsTokens) {
  expect_regenerated([](const ResultLayout& layout) { return layout.tokens_at(2) + 5; });
}

TEST(DamagedRow, InItsLogprobs) {
  expect_regenerated([](const ResultLayout& layout) { return layout.logprobs_at(1) + 9; });
}

TEST(DamagedRow, BehindItsTokens) {
  expect_regenerated([](const ResultLayout& layout) { return layout.failure_at(0) + 30; });
}

TEST(DamagedRow, InItsRecord) {
  expect_regenerated([](const ResultLayout& layout) { return layout.record_at(3) + 16; });
}

TEST(DamagedRow, InTheStatusOfItsRecord) {
  expect_regenerated([](const ResultLayout& layout) { return layout.record_at(0); });
}

}  // namespace
}  // namespace gridmill
