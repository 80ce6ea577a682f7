#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>

#include "gridmill/base/file.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/prompts/record_renderer.hpp"
#include "gridmill/tokenizer/tokenizer.hpp"

// Ids of rendered conversations by transformers: records of golden/chat through the same code as
// those of a job.

namespace gridmill {
namespace {

/// Lines of golden/chat/cases.jsonl, verbatim, by name.
std::map<std::string, std::string> records_of(const std::string& path) {
  std::map<std::string, std::string> records;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    records[parse_json(line, path).at("case").get<std::string>()] = line;
  }
  return records;
}

class ChatIds : public testing::TestWithParam<const char*> {};

TEST_P(ChatIds, AgreeWithTransformers) {
  const std::string golden = GRIDMILL_GOLDEN_DIR;
  if (golden.empty()) GTEST_SKIP() << "needs GRIDMILL_GOLDEN_DIR with the full golden data";
  const std::string name = GetParam();
  const std::string folder = name == "stories260K-hf" ? name : "tokenizers/" + name;
  const std::string tokenizer_file = golden + "/../models/" + folder + "/tokenizer.json";
  const std::string templates = golden + "/../templates/";
  if (!std::filesystem::exists(tokenizer_file) || !std::filesystem::exists(templates)) {
    GTEST_SKIP() << "needs " << tokenizer_file << " and " << templates;
  }
  const auto tokenizer = make_tokenizer(read_text_file(tokenizer_file), tokenizer_file);
  const Json manifest = parse_json(read_text_file(templates + "MANIFEST.json"), "MANIFEST.json");
  const auto records = records_of(golden + "/chat/cases.jsonl");
  std::map<std::string, std::unique_ptr<RecordRenderer>> renderers;
  std::ifstream expected(golden + "/chat/ids-" + name + ".jsonl");
  int compared = 0;
  for (std::string line; std::getline(expected, line); ++compared) {
    const Json wanted = parse_json(line, name);
    const auto chat_template = wanted.at("template").get<std::string>();
    std::unique_ptr<RecordRenderer>& renderer = renderers[chat_template];
    if (renderer == nullptr) {
      PromptOptions options;
      options.chat_template = read_text_file(templates + chat_template + ".jinja");
      options.special_tokens = manifest.at(chat_template).at("special_tokens").dump();
      options.chat_time = "2026-02-03T04:05:06";
      renderer = std::make_unique<RecordRenderer>(options, "prompt");
    }
    const auto one = wanted.at("case").get<std::string>();
    const RenderedPrompt rendered = renderer->render(records.at(one), 1);
    const auto* text = std::get_if<std::string>(&rendered.prompt);
    ASSERT_NE(text, nullptr) << chat_template << " " << one;
    EXPECT_TRUE(rendered.from_messages);
    EXPECT_EQ(tokenizer->encode(*text, false), wanted.at("ids").get<std::vector<TokenId>>())
        << chat_template << " " << one;
  }
  EXPECT_GT(compared, 100);
}

INSTANTIATE_TEST_SUITE_P(Golden, ChatIds,
                         testing::Values("llama3-style", "qwen2-style", "stories260K-hf"));

}  // namespace
}  // namespace gridmill
