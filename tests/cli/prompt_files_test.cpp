// Prompt files that users really have: wrong kinds of file, odd JSON, copies that differ.

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "cli/cli_fixture.hpp"
#include "cli/error_line.hpp"

namespace gridmill {
namespace {

namespace fs = std::filesystem;
using test::cli;
using test::fails_with;
using test::ProgramResult;
using test::slurp;

ProgramResult generate_from(const std::string& name, const std::string& content) {
  cli().folder().write(name, content);
  return cli().generate({"--prompts", name});
}

std::string utf16(const std::string& text) {
  std::string wide = "\xff\xfe";
  for (const char c : text) wide += std::string{c, '\0'};
  return wide;
}

const std::string kGood = "{\"prompt\": \"Tom had a dog\"}\n";

TEST(WrongPromptFile, IsNamedForWhatItLooksLikeBeforeAnOutputIsMade) {
  struct Case {
    std::string name;
    std::string content;
    std::string word;
  };
  const std::vector<Case> cases = {
      {"a.jsonl", "[\n{\"prompt\": \"a\"},\n{\"prompt\": \"b\"}\n]\n", "JSON array"},
      {"a.jsonl", R"([{"prompt": "a"}, {"prompt": "b"}])", "JSON array"},
      {"a.jsonl", "{\n  \"prompt\": \"a\"\n}\n", "several lines"},
      {"a.jsonl", utf16(kGood), "UTF-16"},
      {"a.jsonl", utf16(kGood).substr(2), "UTF-16"},
      {"a.txt", utf16("Tom had a dog\n"), "UTF-16"},
      {"a.jsonl", "\x1f\x8b\x08\x01zipped", "gzip"},
      {"a.txt", "\x1f\x8b\x08\x01zipped", "gzip"},
      {"a.jsonl", "\x28\xb5\x2f\xfdzipped", "Zstandard"},
      {"a.jsonl", "{\"prompt\": \"a\"},\n{\"prompt\": \"b\"},\n", "comma"},
      {"a.jsonl", "{\"text\": \"a\", \"id\": 1}\n{\"text\": \"b\", \"id\": 2}\n", "text"},
      {"a.jsonl", "Once upon a time\nThere was\n", "not a JSON object"},
  };
  for (const Case& one : cases) {
    EXPECT_TRUE(fails_with(generate_from(one.name, one.content), 65, {one.name, one.word}))
        << one.content;
    EXPECT_FALSE(fs::exists(cli().file("out.h5"))) << one.content;
  }
  EXPECT_TRUE(fails_with(
      cli().run({"score", "--model", "stories.h5", "--prompts", "a.jsonl", "--output", "score.h5"}),
      65, {"a.jsonl"}));
}

TEST(WrongPromptFile, AMillionBadLinesAreNotRead) {
  std::string lines;
  for (int i = 0; i < 200'000; ++i) lines += "{\"text\": \"a\"}\n";
  EXPECT_TRUE(fails_with(generate_from("a.jsonl", lines), 65, {"first 1000 lines", "text"}));
}

TEST(BadLines, TheFirstOnesAreToldAndTheJobGoesOn) {
  const ProgramResult result =
      generate_from("a.jsonl", "{\"prompt\": 5}\n{\"text\": \"a\"}\n" + kGood);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.err.find("line 1: field 'prompt' is a number"), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("line 2 has no field 'prompt'"), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("the first: row 0: line 1: field"), std::string::npos) << result.err;
}

TEST(PythonsJson, IsReadWhereTheFieldIsNotUsed) {
  const std::string content =
      "{\"prompt\": \"Tom had a dog\", \"score\": NaN, \"low\": -Infinity}\n"
      "{\"prompt\": \"Tom had a dog\", \"title\": \"so nice \\ud83d\"}\n"
      "{\"prompt\": \"Tom had a dog\"}\n";
  ASSERT_EQ(generate_from("a.jsonl", content).exit_code, 0);
  EXPECT_EQ(cli().tokens(0), cli().tokens(2));
  EXPECT_EQ(cli().tokens(1), cli().tokens(2));
  const std::string text = cli().run({"export", "out.h5"}).out;
  EXPECT_NE(text.find("\"record\":{\"prompt\": \"Tom had a dog\", \"score\": NaN"),
            std::string::npos)
      << "the record is the line itself";
}

TEST(PythonsJson, IsReadBesideMessages) {
  cli().folder().write("chat.jinja", "{% for m in messages %}{{ m.content }}{% endfor %}");
  const auto render = [](const std::string& content) {
    cli().folder().write("a.jsonl", content);
    const ProgramResult result =
        cli().generate({"--prompts", "a.jsonl", "--chat-template", "chat.jinja"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
  };
  render(R"({"messages": [{"role": "user", "content": "Tom had"}], "score": NaN, "x": [-Infinity]})"
         "\n"
         R"({"messages": [{"role": "user", "content": "Tom had"}], "title": "\ud83d"})"
         "\n"
         R"({"messages": [{"role": "user", "content": "Tom had"}]})"
         "\n");
  EXPECT_EQ(cli().tokens(0), cli().tokens(2));
  EXPECT_EQ(cli().tokens(1), cli().tokens(2));

  cli().folder().write("a.jsonl", kGood + R"({"messages": [{"role": "user", "content": NaN}]})"
                                          "\n"
                                          R"({"messages": [{"role": "user", "content": "\ud83d"}]})"
                                          "\n");
  EXPECT_EQ(cli().generate({"--prompts", "a.jsonl", "--chat-template", "chat.jinja"}).exit_code, 1);
  EXPECT_EQ(cli().result().read_row(1).failure,
            "line 2: the prompt is made of NaN at column 43, which is no JSON");
  EXPECT_EQ(cli().result().read_row(2).failure,
            "line 3: the prompt is made of half of a surrogate pair at column 44, which is no "
            "JSON");
}

TEST(PythonsJson, FailsWithReasonAndColumnInTheFieldThatIsUsed) {
  const ProgramResult result =
      generate_from("a.jsonl", kGood +
                                   "{\"a\": NaN, \"prompt\": \"x \\ud83d\"}\n"
                                   "{\"prompt\": Infinity}\n");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(cli().result().read_row(1).failure,
            "line 2: field 'prompt' has half of a surrogate pair at column 25, which is no JSON");
  EXPECT_EQ(cli().result().read_row(2).failure,
            "line 3: field 'prompt' has Infinity at column 12, which is no JSON");
}

TEST(EmptyLines, BehindTheLastObjectAreNoPrompts) {
  for (const std::string end : {"\n", "\n\n \n\t\r\n", "\n  "}) {
    ASSERT_EQ(generate_from("a.jsonl", kGood + kGood + end).exit_code, 0) << end;
    EXPECT_EQ(cli().result().layout().shape.rows, 2U) << end;
  }
  EXPECT_EQ(generate_from("a.jsonl", kGood + "\n" + kGood).exit_code, 1) << "one between is a row";
}

TEST(LineEnds, OfOtherSystemsAndByteOrderMarksAreTolerated) {
  ASSERT_EQ(
      generate_from("a.jsonl", "\xEF\xBB\xBF{\"prompt\": \"Tom had a dog\"}\r\n" + kGood).exit_code,
      0);
  EXPECT_EQ(cli().tokens(0), cli().tokens(1));
}

TEST(BeginToken, TwoOfThemAreWarnedOfOnceAJob) {
  const std::string prompts = "<s>Tom had a dog\nTom had a dog\n<s>The sun\n<s>Lily\n";
  cli().folder().write("begin.txt", prompts);
  ASSERT_EQ(cli()
                .run({"convert", std::string(GRIDMILL_MODELS_DIR) + "/stories260K/stories260K.bin",
                      "begin.h5", "--tokenizer",
                      std::string(GRIDMILL_TEST_DATA) + "/tokenizer/stories260K-hf/tokenizer.json"})
                .exit_code,
            0);
  for (const int ranks : {1, 2}) {
    const ProgramResult result =
        cli().generate({"--prompts", "begin.txt", "--model", "begin.h5"}, ranks);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    const std::size_t first = result.err.find("--add-special-tokens=false");
    EXPECT_NE(first, std::string::npos) << result.err;
    EXPECT_EQ(result.err.find("--add-special-tokens=false", first + 1), std::string::npos)
        << result.err;
  }
  EXPECT_EQ(cli()
                .generate({"--prompts", "begin.txt", "--add-special-tokens=false"})
                .err.find("begin token"),
            std::string::npos);
}

TEST(PromptAsLongAsARow, IsDoneWithoutANewToken) {
  ASSERT_EQ(generate_from("a.txt", "Once upon a time\n").exit_code, 0);
  const std::string length = std::to_string(cli().result().read_row(0).record.prefix_length);
  ASSERT_EQ(cli().generate({"--prompts", "a.txt", "--max-length", length}).exit_code, 0);
  const StoredRow row = cli().result().read_row(0);
  EXPECT_EQ(row.record.length, row.record.prefix_length);
  EXPECT_EQ(row.record.finish_reason, static_cast<std::uint16_t>(FinishReason::length));
}

/// Ranks that run in folders of their own, each with a file of its own.
class Copies : public ::testing::Test {
 protected:
  Copies() {
    for (const char* node : {"node0", "node1"}) {
      fs::remove_all(cli().file(node));
      cli().folder().write(std::string(node) + "/prompts.txt", "Tom had a dog\nTom had 2 dogs\n");
    }
    fs::remove(cli().file("out.h5"));
  }
  static ProgramResult run(const std::vector<std::string>& arguments, int ranks = 2) {
    std::vector<std::string> command = {
        "sh", "-c", R"(cd node$((${OMPI_COMM_WORLD_RANK:-$PMI_RANK} > 0)) && exec "$0" "$@")",
        GRIDMILL_PROGRAM};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return test::run_program(test::under_mpirun(ranks, command), cli().folder().path());
  }
  static ProgramResult generate(const std::string& model, std::vector<std::string> more = {}) {
    std::vector<std::string> arguments = {"generate",
                                          "--model",
                                          model,
                                          "--prompts",
                                          "prompts.txt",
                                          "--output",
                                          cli().file("out.h5"),
                                          "--threads",
                                          "1",
                                          "--max-length",
                                          "24",
                                          "--progress",
                                          "none",
                                          "--log-level",
                                          "warn"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  }
};

TEST_F(Copies, EqualOnesAreAsGoodAsOneFile) {
  for (const char* node : {"node0", "node1"}) {
    fs::copy_file(cli().file("stories.h5"), cli().file(std::string(node) + "/model.h5"));
  }
  const ProgramResult result = generate("model.h5");
  EXPECT_EQ(result.exit_code, 0) << result.err;
}

TEST_F(Copies, OtherPromptsOfEqualSizeAreRefusedBeforeARowIsWritten) {
  cli().folder().write("node1/prompts.txt", "Tom had a cat\nTom had 2 dogs\n");
  const std::string model = cli().file("stories.h5");
  for (const std::vector<std::string>& grid :
       {std::vector<std::string>{}, {"--fsdp", "2"}, {"--tp", "2"}}) {
    EXPECT_TRUE(fails_with(generate(model, grid), 65, {"rank 1", "host", "prompts.txt", "copy"}));
    EXPECT_FALSE(fs::exists(cli().file("out.h5")));
  }
  EXPECT_TRUE(fails_with(run({"score", "--model", model, "--prompts", "prompts.txt", "--output",
                              cli().file("score.h5")}),
                         65, {"rank 1", "prompts.txt"}));
}

TEST_F(Copies, ADamagedModelIsRefusedWithTheParameter) {
  for (const char* node : {"node0", "node1"}) {
    fs::copy_file(cli().file("stories.h5"), cli().file(std::string(node) + "/model.h5"));
  }
  std::string bytes = slurp(cli().file("node1/model.h5"));
  bytes[bytes.size() / 2] ^= 1;
  cli().folder().write("node1/model.h5", bytes);
  EXPECT_TRUE(fails_with(generate("model.h5"), 65, {"rank 1", "model.h5", "parameter"}));
}

TEST_F(Copies, VerifyHoldsPromptsAndResultFileToRankZeros) {
  const std::string model = cli().file("stories.h5");
  ASSERT_EQ(generate(model).exit_code, 0);
  for (const char* node : {"node0", "node1"}) {
    fs::copy_file(cli().file("out.h5"), cli().file(std::string(node) + "/out.h5"));
  }
  const std::vector<std::string> verify = {"verify", "out.h5",    "--model",
                                           model,    "--prompts", "prompts.txt"};
  EXPECT_EQ(run(verify).exit_code, 0);
  std::string bytes = slurp(cli().file("node1/out.h5"));
  bytes[bytes.size() - 1] ^= 1;
  cli().folder().write("node1/out.h5", bytes);
  EXPECT_TRUE(fails_with(run(verify), 65, {"rank 1", "out.h5"}));
  cli().folder().write("node1/prompts.txt", "Tom had a cat\nTom had 2 dogs\n");
  EXPECT_TRUE(fails_with(run(verify), 65, {"rank 1", "prompts.txt"}));
}

}  // namespace
}  // namespace gridmill
