#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "gridmill/base/content_hash.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/prompts/prompt_source.hpp"
#include "support/temporary_folder.hpp"

namespace gridmill {
namespace {

using test::TemporaryFolder;

std::unique_ptr<PromptSource> open(const std::string& path, const std::string& field = "prompt") {
  return PromptSource::open(path, PromptIndex::build(path), field);
}

/// All prompts of a .txt file with this content.
std::vector<std::string> texts_of(const std::string& content) {
  const TemporaryFolder folder;
  const auto prompts = open(folder.write("p.txt", content));
  std::vector<std::string> texts;
  for (PromptId i = 0; i < prompts->count(); ++i) {
    texts.push_back(std::get<std::string>(prompts->read(i)));
  }
  return texts;
}

/// What becomes of one line of a .jsonl file: "text: ..." or "bad: ...".
std::string outcome_of(const std::string& line, const std::string& field = "prompt") {
  const TemporaryFolder folder;
  const Prompt prompt = open(folder.write("p.jsonl", line + "\n"), field)->read(0);
  if (const auto* bad = std::get_if<BadPrompt>(&prompt)) return "bad: " + bad->reason;
  return "text: " + std::get<std::string>(prompt);
}

using Texts = std::vector<std::string>;

TEST(TextPrompts, EveryLineIsAPrompt) { EXPECT_EQ(texts_of("a\nb c\n"), (Texts{"a", "b c"})); }
TEST(TextPrompts, TheLastLineCountsWithoutLineEnd) {
  EXPECT_EQ(texts_of("a\nb"), (Texts{"a", "b"}));
}
TEST(TextPrompts, AnEmptyLineIsAnEmptyPrompt) {
  EXPECT_EQ(texts_of("\na\n\n"), (Texts{"", "a", ""}));
}
TEST(TextPrompts, AnEmptyFileHasNone) { EXPECT_EQ(texts_of(""), Texts{}); }
TEST(TextPrompts, LineEndsOfOtherSystemsAreTolerated) {
  EXPECT_EQ(texts_of("a\r\n\r\nb\rc\r\n"), (Texts{"a", "", "b\rc"}));
}
TEST(TextPrompts, AByteOrderMarkIsNoText) {
  EXPECT_EQ(texts_of("\xEF\xBB\xBF"
                     "a\nb\n"),
            (Texts{"a", "b"}));
  EXPECT_EQ(texts_of("\xEF\xBB\xBF"), Texts{});
}
TEST(TextPrompts, AllOtherBytesArePassedOn) {
  const std::string odd("\0\xFF \t\x7F", 5);
  EXPECT_EQ(texts_of(odd + "\n" + odd), (Texts{odd, odd}));
}

TEST(TextPrompts, LinesMayCrossTheChunksOfTheScan) {
  const std::string longest(9 << 20, 'x');  // more than two chunks of 4 MiB
  const std::string edge((4 << 20) - 1, 'y');
  EXPECT_EQ(texts_of(edge + "\n" + longest + "\nend\n"), (Texts{edge, longest, "end"}));
}

TEST(JsonPrompts, TheFieldHoldsTheText) {
  EXPECT_EQ(outcome_of(R"({"prompt": "a\nb", "x": 1})"), "text: a\nb");
  EXPECT_EQ(outcome_of(R"({"q": "\u00e4\ud83d\ude00"})", "q"), "text: \u00e4\U0001F600");
  EXPECT_EQ(outcome_of(R"(  {"prompt": ""}  )"), "text: ");
}

TEST(JsonPrompts, ABadLineBecomesAFailedRowWithAReason) {
  EXPECT_EQ(outcome_of("{\"prompt\": \"a\""), "bad: line 1 is not a JSON object");
  EXPECT_EQ(outcome_of("[\"prompt\"]"), "bad: line 1 is not a JSON object");
  EXPECT_EQ(outcome_of(""), "bad: line 1 is not a JSON object");
  EXPECT_EQ(outcome_of("{} {}"), "bad: line 1 is not a JSON object");
  EXPECT_EQ(outcome_of("{\"prompt\": \"\xFF\"}"), "bad: line 1 is not a JSON object");
  EXPECT_EQ(outcome_of("{\"text\": \"a\"}"), "bad: line 1 has no field 'prompt'");
  EXPECT_EQ(outcome_of("{\"prompt\": 5}"),
            "bad: line 1: field 'prompt' is a number, expected a string");
  EXPECT_EQ(outcome_of("{\"prompt\": null}"),
            "bad: line 1: field 'prompt' is a null, expected a string");
}

TEST(JsonPrompts, DeepNestingIsABadLineAndNoCrash) {
  const std::string deep = "{\"prompt\":" + std::string(1 << 20, '[');
  EXPECT_EQ(outcome_of(deep), "bad: line 1 is not a JSON object");
}

TEST(JsonPrompts, TheRecordIsTheLineItself) {
  const TemporaryFolder folder;
  const auto prompts = open(folder.write("p.jsonl",
                                         " {\"id\": 1e400, \"b\": 1.0, \"a\": 2}\r\n"
                                         "{\"z\": 12345678901234567890123, \"a\":1.0}\r\nno\n"));
  // A number beyond double cannot be read by everybody, so that line is bad as a whole.
  EXPECT_EQ(prompts->record(0), std::nullopt);
  EXPECT_EQ(prompts->record(1), "{\"z\": 12345678901234567890123, \"a\":1.0}");
  EXPECT_EQ(prompts->record(2), std::nullopt);
}

TEST(TextPrompts, HaveNoRecordAndNoMatrix) {
  const TemporaryFolder folder;
  const auto prompts = open(folder.write("p.txt", "a\n"));
  EXPECT_EQ(prompts->record(0), std::nullopt);
  EXPECT_THROW(static_cast<void>(prompts->prefix_rows(0, 1)), UsageError);
}

TEST(PromptIndex, KnowsCountAndHashOfTheContent) {
  const TemporaryFolder folder;
  const std::string path = folder.write("p.txt", "a\nbc\n");
  const PromptIndex index = PromptIndex::build(path);
  EXPECT_EQ(index.count, 2U);
  EXPECT_EQ(index.size_bytes, 5U);
  EXPECT_EQ(index.content_hash, content_hash_of_file(path));
  ASSERT_EQ(index.line_starts.size(), 3U);
  EXPECT_EQ(index.line_starts[1], 2U);
  EXPECT_EQ(index.line_starts[2], 5U);
  EXPECT_EQ(index.longest_line, 3U);
}

TEST(PromptIndex, TravelsAsBytes) {
  const TemporaryFolder folder;
  const PromptIndex index = PromptIndex::build(folder.write("p.jsonl", "{}\n{}\n"));
  const std::vector<std::byte> bytes = index.head();
  PromptIndex arrived = PromptIndex::from_head(bytes);
  ASSERT_EQ(arrived.line_starts.blocks(), index.line_starts.blocks());
  for (std::size_t i = 0; i < arrived.line_starts.blocks(); ++i) {
    const auto block = index.line_starts.block(i);
    std::copy(block.begin(), block.end(), arrived.line_starts.block(i).begin());
  }
  EXPECT_EQ(arrived, index);
  EXPECT_THROW(static_cast<void>(PromptIndex::from_head(std::span(bytes).first(bytes.size() - 1))),
               InternalError);
}

TEST(PromptIndex, TheExtensionSaysWhatAFileIs) {
  EXPECT_EQ(prompt_format_of("a.b/p.jsonl"), PromptFormat::jsonl);
  EXPECT_EQ(prompt_format_of("p.txt"), PromptFormat::text_lines);
  EXPECT_EQ(prompt_format_of("p.h5"), PromptFormat::h5);
  EXPECT_THROW(static_cast<void>(prompt_format_of("p.json")), UsageError);
  EXPECT_THROW(static_cast<void>(prompt_format_of(".txt")), UsageError);
}

TEST(PromptIndex, AMissingFileFolderOrPipeIsAMissingInput) {
  const TemporaryFolder folder;
  EXPECT_THROW(static_cast<void>(PromptIndex::build(folder.file("none.txt"))), MissingInputError);
  std::filesystem::create_directory(folder.file("folder.txt"));
  EXPECT_THROW(static_cast<void>(PromptIndex::build(folder.file("folder.txt"))), MissingInputError);
  ASSERT_EQ(::mkfifo(folder.file("pipe.txt").c_str(), 0600), 0);
  EXPECT_THROW(static_cast<void>(PromptIndex::build(folder.file("pipe.txt"))), MissingInputError);
}

TEST(PromptSource, AFileThatChangedItsSizeIsRefused) {
  const TemporaryFolder folder;
  const std::string path = folder.write("p.txt", "a\nb\n");
  const PromptIndex index = PromptIndex::build(path);
  folder.write("p.txt", "a\nb\nc\n");
  EXPECT_THROW(static_cast<void>(PromptSource::open(path, index)), FormatError);
}

TEST(PromptSource, AskingBehindTheEndIsOurOwnMistake) {
  const TemporaryFolder folder;
  const auto prompts = open(folder.write("p.txt", "a\n"));
  EXPECT_THROW(static_cast<void>(prompts->read(1)), InternalError);
}

}  // namespace
}  // namespace gridmill
