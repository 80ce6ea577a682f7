#include "convert/folder_tokenizer.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "gridmill/tokenizer/tokenizer.hpp"
#include "unit/convert/support.hpp"

namespace gridmill {
namespace {

namespace fs = std::filesystem;

using convert_detail::find_tokenizer;
using convert_detail::FoundTokenizer;
using convert_detail::ModelFolder;
using test::contains_all;
using test::Outcome;
using test::outcome_of;
using test::TemporaryFolder;
using Ids = std::vector<TokenId>;

const std::string kStories = GRIDMILL_TEST_DATA "/tokenizer/stories260K-hf/";

class FolderTokenizer : public testing::Test {
 protected:
  void copy(const std::string& path) {
    fs::copy_file(path, folder_.path() / fs::path(path).filename());
  }
  std::unique_ptr<Tokenizer> load() {
    ModelFolder folder(folder_.path().string());
    testing::internal::CaptureStderr();
    FoundTokenizer found;
    try {
      found = find_tokenizer(folder);
    } catch (const Error&) {
      log_ = testing::internal::GetCapturedStderr();  // there is one capture at a time
      throw;
    }
    log_ = testing::internal::GetCapturedStderr();
    return make_tokenizer(found.kind, found.bytes, 0, found.where);
  }
  void expect_refused(const std::vector<std::string>& parts) {
    const Outcome outcome = outcome_of([this] { load(); });
    EXPECT_EQ(outcome.code, ExitCode::bad_input);
    EXPECT_TRUE(contains_all(outcome.message, parts)) << outcome.message;
  }
  TemporaryFolder folder_;
  std::string log_;
};

TEST_F(FolderTokenizer, AddedTokensBesideASentencePieceFileAreFoundFirst) {
  copy(kStories + "tokenizer.model");
  const auto plain = load();
  folder_.write("added_tokens.json", R"({"<|im_start|>": 510, "<|im_end|>": 512})");
  const auto tokenizer = load();
  EXPECT_TRUE(contains_all(log_, {"2 added tokens"})) << log_;
  const Ids once = plain->encode("Once", true);
  Ids expected = once;
  expected.push_back(512);
  EXPECT_EQ(tokenizer->encode("Once<|im_end|>", true), expected);
  EXPECT_EQ(tokenizer->encode("<|im_start|>", false), (Ids{510}));
  EXPECT_EQ(tokenizer->decode(Ids{512}, true), "<|im_end|>") << "an added token, not special";
  EXPECT_EQ(tokenizer->decode(once, true), "Once");
  EXPECT_EQ(tokenizer->token_count(), 513);
}

TEST_F(FolderTokenizer, OnlyTheStartOfTheTextGetsASpaceUnlessLegacy) {
  copy(kStories + "tokenizer.model");
  folder_.write("added_tokens.json", R"({"<|im_start|>": 512})");
  const Ids inside = load()->encode("<|im_start|>user", false);
  EXPECT_EQ(load()->decode(inside, false), "<|im_start|>user");
  folder_.write("tokenizer_config.json", R"({"legacy": true})");
  const auto legacy = load();
  Ids expected = {512};
  const Ids user = legacy->encode("user", false);
  expected.insert(expected.end(), user.begin(), user.end());
  EXPECT_EQ(legacy->encode("<|im_start|>user", false), expected);
  EXPECT_NE(inside, expected);
}

TEST_F(FolderTokenizer, TheDecoderOfAddedTokensIsReadWithItsFlags) {
  copy(kStories + "tokenizer.model");
  folder_.write("tokenizer_config.json", R"({"added_tokens_decoder": {
      "1": {"content": "<s>", "special": true, "normalized": false},
      "512": {"content": "<tool>", "special": true, "normalized": false, "rstrip": true}}})");
  const auto tokenizer = load();
  EXPECT_EQ(tokenizer->encode("<s><tool>  ", false), (Ids{1, 512}));
  EXPECT_EQ(tokenizer->decode(Ids{512}, true), "");
}

TEST_F(FolderTokenizer, AnOldAddedTokenIsSpecialIfItIsNamedAsSuch) {
  copy(kStories + "tokenizer.model");
  folder_.write("added_tokens.json", R"({"<pad>": 512, "<other>": 513})");
  folder_.write("special_tokens_map.json", R"({"pad_token": {"content": "<pad>"}})");
  EXPECT_EQ(load()->decode(Ids{512, 513}, true), "<other>");
}

TEST_F(FolderTokenizer, BeginAndEndTokensFollowTheSettings) {
  copy(kStories + "tokenizer.model");
  const Ids once = load()->encode("Once", false);
  Ids with_both = {1};
  with_both.insert(with_both.end(), once.begin(), once.end());
  EXPECT_EQ(load()->encode("Once", true), with_both);
  folder_.write("tokenizer_config.json", R"({"add_bos_token": true, "add_eos_token": true})");
  with_both.push_back(2);
  EXPECT_EQ(load()->encode("Once", true), with_both);
  folder_.write("tokenizer_config.json", R"({"add_bos_token": false})");
  EXPECT_EQ(load()->encode("Once", true), once);
}

TEST_F(FolderTokenizer, DamagedSettingsAreRefusedByName) {
  copy(kStories + "tokenizer.model");
  for (const char* content : {R"({"a": -1})", R"({"a": "b"})", R"([])", R"({"": 5})"}) {
    folder_.write("added_tokens.json", content);
    expect_refused({"added_tokens.json"});
  }
  fs::remove(folder_.file("added_tokens.json"));
  for (const char* content : {R"({"add_bos_token": 1})", R"({"added_tokens_decoder": []})",
                              R"({"added_tokens_decoder": {"x": {"content": "a"}}})",
                              R"({"added_tokens_decoder": {"3": "a"}})", "{"}) {
    folder_.write("tokenizer_config.json", content);
    expect_refused({"tokenizer_config.json"});
  }
}

TEST_F(FolderTokenizer, TokenizerJsonCountsAndDifferencesAreNamed) {
  copy(kStories + "tokenizer.json");
  folder_.write("tokenizer_config.json", R"({"add_bos_token": false, "add_eos_token": false,
      "clean_up_tokenization_spaces": true})");
  folder_.write("added_tokens.json", R"({"<|im_start|>": 512})");
  EXPECT_EQ(load()->encode("", true), (Ids{1}));
  EXPECT_TRUE(contains_all(log_, {"add_bos_token", "<|im_start|>", "clean_up_tokenization_spaces"}))
      << log_;
  EXPECT_EQ(log_.find("add_eos_token"), std::string::npos) << log_;
}

TEST_F(FolderTokenizer, VocabularyAndMergesAreAByteLevelBpe) {
  const Json whole = parse_json(
      read_text_file(GRIDMILL_MODELS_DIR "/tiny-xlstm-shakespeare/tokenizer.json"), "test");
  std::string merges = "#version: 0.2\n";
  for (const Json& merge : whole["model"]["merges"]) {
    merges += merge.is_string() ? merge.get<std::string>()
                                : merge[0].get<std::string>() + " " + merge[1].get<std::string>();
    merges += '\n';
  }
  folder_.write("vocab.json", whole["model"]["vocab"].dump());
  folder_.write("merges.txt", merges);
  folder_.write("added_tokens.json", R"({"<|extra|>": 512})");
  const auto reference = make_tokenizer(whole.dump(), "test");
  const auto tokenizer = load();
  for (const char* text : {"To be, or not to be", "thou\n\n  art\u00e9", ""}) {
    EXPECT_EQ(tokenizer->encode(text, false), reference->encode(text, false)) << text;
  }
  EXPECT_EQ(tokenizer->encode("<|extra|>", true), (Ids{512}));

  folder_.write("tokenizer_config.json",
                R"({"tokenizer_class": "GPT2Tokenizer", "add_bos_token": true,
                    "bos_token": "<|extra|>"})");
  EXPECT_EQ(load()->encode("", true), (Ids{512}));
  folder_.write("tokenizer_config.json", R"({"tokenizer_class": "BlenderbotTokenizer"})");
  expect_refused({"BlenderbotTokenizer", "unsupported"});
  fs::remove(folder_.file("tokenizer_config.json"));
  folder_.write("merges.txt", "#version: 0.2\na b c\n");
  expect_refused({"merges.txt", "line 2"});
  folder_.write("merges.txt", "a \xB4\n");
  expect_refused({"merges.txt", "line 1", "UTF-8"});
}

TEST_F(FolderTokenizer, ATiktokenFileIsNamedAsSuch) {
  folder_.write("tokenizer.model", "IQ== 0\nIg== 1\n");
  expect_refused({"tokenizer.model", "tiktoken"});
  fs::remove(folder_.file("tokenizer.model"));
  folder_.write("qwen.tiktoken", "IQ== 0\nIg== 1\n");
  expect_refused({"qwen.tiktoken", "unsupported"});
}

TEST_F(FolderTokenizer, AFolderWithoutOneHasNone) {
  ModelFolder folder(folder_.path().string());
  EXPECT_EQ(find_tokenizer(folder).kind, "");
}

}  // namespace
}  // namespace gridmill
