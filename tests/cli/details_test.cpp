// Sentences of docs/cli.md, most of them of its section Details, that belong to no single option.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "cli/cli_fixture.hpp"
#include "cli/error_line.hpp"
#include "gridmill/h5/file.hpp"

namespace gridmill {
namespace {

using test::cli;
using test::fails_with;
using test::ProgramResult;
using test::slurp;

const std::string kModels = GRIDMILL_MODELS_DIR;

/// `gridmill ARGUMENTS < INPUT`.
ProgramResult filter(const std::string& arguments, const std::string& input) {
  cli().folder().write("stdin.txt", input);
  return test::run_program(
      {"sh", "-c", "exec \"$0\" " + arguments + " < stdin.txt", GRIDMILL_PROGRAM},
      cli().folder().path());
}

bool has_logprobs() { return cli().result().job().fields.at("logprobs").get<bool>(); }

TEST(Switches, AreGivenBareOrWithTrueOrFalse) {
  for (const char* on : {"--logprobs", "--logprobs=true"}) {
    ASSERT_EQ(cli().generate({on}).exit_code, 0);
    EXPECT_TRUE(has_logprobs()) << on;
  }
  ASSERT_EQ(cli().generate({"--logprobs=false"}).exit_code, 0);
  EXPECT_FALSE(has_logprobs());
  EXPECT_TRUE(fails_with(cli().generate({"--logprobs=perhaps"}), 64, {"logprobs", "perhaps"}));
}

TEST(Durations, HaveAUnit) {
  for (const char* duration : {"50ms", "2s", "5m", "1h"}) {
    EXPECT_EQ(cli().generate({"--commit-interval", duration}).exit_code, 0) << duration;
  }
  for (const char* other : {"5d", "s", "-1s", "1.5.2s"}) {
    EXPECT_TRUE(fails_with(cli().generate({std::string("--commit-interval=") + other}), 64,
                           {"--commit-interval", other}));
  }
}

TEST(Options, ComeFromTheEnvironmentToo) {
  cli().remove_output();
  const std::vector<std::string> arguments = {"generate",    "--model",  "stories.h5", "--prompts",
                                              "prompts.txt", "--output", "out.h5"};
  ASSERT_EQ(cli()
                .run(arguments, 1,
                     {"GRIDMILL_MAX_LENGTH=12", "GRIDMILL_LOGPROBS=true", "GRIDMILL_TEMPERATURE=0"})
                .exit_code,
            0);
  EXPECT_EQ(cli().result().layout().shape.max_length, 12U);
  EXPECT_TRUE(has_logprobs());
}

TEST(Messages, HaveNeitherColourNorAnimationWhereStderrIsNoTerminal) {
  for (const char* progress : {"auto", "bar", "plain"}) {
    const ProgramResult result = cli().generate({"--progress", progress, "--log-level", "info"});
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_EQ(result.err.find_first_of("\r\x1b"), std::string::npos) << result.err;
    EXPECT_EQ(result.out, "") << "messages go to stderr";
  }
}

TEST(Metrics, HaveARecordEveryTenSecondsAndASummary) {
  EXPECT_EQ(cli()
                .generate({"--metrics", "long.jsonl", "--max-length", "500", "--temperature", "1",
                           "--samples-per-prompt", "20000", "--eod-token-id=-1", "--slots", "1",
                           "--time-limit", "12s"})
                .exit_code,
            75);
  std::istringstream lines(slurp(cli().file("long.jsonl")));
  std::vector<Json> records;
  for (std::string line; std::getline(lines, line);) records.push_back(Json::parse(line));
  ASSERT_GE(records.size(), 2U);
  EXPECT_EQ(records.front().at("record"), "interval");
  EXPECT_GE(records.front().at("elapsed_s"), 10.0);
  EXPECT_EQ(records.front().at("rows_total"), 80000);
  EXPECT_EQ(records.back().at("record"), "summary");
}

/// Writes `prefix_tokens` and, unless empty, `prefix_mask`.
void write_ids(const std::string& name, const std::vector<std::uint64_t>& shape,
               const std::vector<std::int32_t>& ids, const std::vector<std::uint8_t>& mask) {
  h5::File file = h5::File::create(cli().file(name));
  file.create_dataset("/prefix_tokens", h5::ElementType::of(h5::Kind::i32), shape)
      .write_rows(0, shape[0], std::as_bytes(std::span(ids)));
  if (!mask.empty()) {
    file.create_dataset("/prefix_mask", h5::ElementType::of(h5::Kind::u8), shape)
        .write_rows(0, shape[0], std::as_bytes(std::span(mask)));
  }
  file.close();
}

TEST(PromptIds, MayBeOneDimensional) {
  write_ids("flat.h5", {3}, {1, 2, 3}, {});
  ASSERT_EQ(cli().generate({"--prompts", "flat.h5"}).exit_code, 0);
  EXPECT_EQ(cli().result().layout().shape.rows, 3U);
  EXPECT_EQ(cli().tokens(2).front(), 3);
}

TEST(PromptIds, ThatAMaskWithHolesCoversAreAFailedRow) {
  write_ids("masked.h5", {2, 3}, {1, 2, 3, 4, 5, 6}, {1, 0, 1, 1, 1, 0});
  EXPECT_EQ(cli().generate({"--prompts", "masked.h5"}).exit_code, 1);
  EXPECT_NE(cli().result().read_row(0).failure.find("holes"), std::string::npos);
  EXPECT_EQ(cli().result().read_row(1).record.prefix_length, 2U);
}

TEST(FolderWithoutTokenizer, ConvertsAndTakesPromptsAsIds) {
  const std::string source = cli().file("bare");
  std::filesystem::create_directories(source);
  for (const char* name : {"config.json", "model.safetensors"}) {
    std::filesystem::copy_file(kModels + "/tiny-xlstm-shakespeare/" + name, source + "/" + name,
                               std::filesystem::copy_options::overwrite_existing);
  }
  ASSERT_EQ(cli().run({"convert", "bare", "bare.h5"}).exit_code, 0);
  EXPECT_TRUE(fails_with(cli().generate({"--model", "bare.h5"}), 64, {"bare.h5", "tokenizer"}));
  write_ids("ids.h5", {2, 2}, {1, 7, 3, 9}, {});
  EXPECT_EQ(cli().generate({"--model", "bare.h5", "--prompts", "ids.h5"}).exit_code, 0);

  ASSERT_EQ(cli()
                .run({"convert", "bare", "dressed.h5", "--tokenizer",
                      kModels + "/tiny-xlstm-shakespeare/tokenizer.json"})
                .exit_code,
            0);
  EXPECT_EQ(cli().generate({"--model", "dressed.h5"}).exit_code, 0);
}

TEST(Convert, KilledOnTheWayLeavesNoDestination) {
  // SIGXFSZ, or a write that fails where it is ignored, once so many blocks of 512 bytes are there.
  const std::string source = kModels + "/tiny-xlstm-shakespeare";
  for (const char* blocks : {"1", "1000", "7000"}) {
    const ProgramResult result =
        test::run_program({"sh", "-c", R"(ulimit -f "$1"; exec "$0" convert "$2" killed.h5)",
                           GRIDMILL_PROGRAM, blocks, source},
                          cli().folder().path());
    EXPECT_NE(result.exit_code, 0) << blocks;
    EXPECT_FALSE(std::filesystem::exists(cli().file("killed.h5"))) << blocks;
  }
  ASSERT_EQ(cli().run({"convert", source, "killed.h5"}).exit_code, 0);
  EXPECT_TRUE(slurp(cli().file("killed.h5")) == slurp(cli().file("shakespeare.h5")))
      << "what was left behind does not show";
}

TEST(Export, TextShowsPromptAndContinuation) {
  ASSERT_EQ(cli().generate({}).exit_code, 0);
  const ProgramResult text = cli().run({"export", "out.h5", "--format", "text"});
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_EQ(text.out.rfind("--- row 0 (prompt 0, sample 0, ", 0), 0U) << text.out;
  EXPECT_NE(text.out.find("\nOnce upon a time"), std::string::npos) << text.out;
}

TEST(Export, ChecksModelAndPromptsByHash) {
  ASSERT_EQ(cli().generate({}).exit_code, 0);
  EXPECT_TRUE(fails_with(cli().run({"export", "out.h5", "--model", "shakespeare.h5"}), 65,
                         {"shakespeare.h5", "tokenizer"}));
  cli().folder().write("others.txt", "Ben\n");
  EXPECT_TRUE(
      fails_with(cli().run({"export", "out.h5", "--prompts", "others.txt"}), 65, {"others.txt"}));
  EXPECT_TRUE(fails_with(cli().run({"export", "out.h5", "-o", "none/rows.jsonl"}), 73,
                         {"none/rows.jsonl"}));
}

TEST(Tokenize, TakesATokenizerFile) {
  for (const char* file : {"/tiny-xlstm-shakespeare/tokenizer.json", "/stories260K/tok512.bin"}) {
    const std::string option = " --tokenizer " + kModels + file;
    const ProgramResult ids = filter("tokenize" + option, "The king\n");
    ASSERT_EQ(ids.exit_code, 0) << ids.err;
    const ProgramResult text = filter("detokenize --skip-special" + option, ids.out);
    EXPECT_EQ(text.out, "The king\n") << file;
  }
}

TEST(Tokenize, ABadLineIsNamedByItsNumber) {
  EXPECT_TRUE(fails_with(filter("detokenize --model stories.h5", "[1]\n[1, 99999]\n"), 65,
                         {"line 2", "99999"}));
  EXPECT_TRUE(fails_with(filter("detokenize --model stories.h5", "\"text\"\n"), 65, {"line 1"}));
  EXPECT_TRUE(fails_with(filter("tokenize --jsonl --model stories.h5", "{\"x\": 1}\n"), 65,
                         {"line 1", "text"}));
  EXPECT_TRUE(fails_with(filter("tokenize", ""), 64, {"--model", "--tokenizer"}));
}

}  // namespace
}  // namespace gridmill
