#include "gridmill/tokenizer/tokenizer.hpp"

#include <gtest/gtest.h>

#include <thread>

#include "gridmill/base/error.hpp"
#include "unit/tokenizer/vectors.hpp"

namespace gridmill {
namespace {

using Ids = std::vector<TokenId>;

const std::string kData = GRIDMILL_TEST_DATA "/tokenizer/";
const std::string kQwen2 = kData + "qwen2-style/tokenizer.json";
const std::string kStories = kData + "stories260K-hf/tokenizer.json";

TEST(Tokenizer, IdsOutsideTheVocabularyAreRefused) {
  const auto tokenizer = tokenizer_of(kQwen2);
  EXPECT_EQ(tokenizer->vocab_size(), 1024);
  EXPECT_THROW(static_cast<void>(tokenizer->decode(Ids{0, 1024}, false)), UsageError);
  EXPECT_THROW(static_cast<void>(tokenizer->decode_bytes(Ids{-1}, true)), UsageError);
  EXPECT_THROW(static_cast<void>(tokenizer->token_bytes(1024)), UsageError);
  EXPECT_THROW(static_cast<void>(tokenizer->is_special(-1)), UsageError);
}

TEST(Tokenizer, PaddingRowsOfTheModelStandForNothing) {
  const auto tokenizer = make_tokenizer(kHuggingFaceTokenizer, read_text_file(kQwen2), 1100);
  EXPECT_EQ(tokenizer->vocab_size(), 1100);
  EXPECT_EQ(tokenizer->decode(Ids{1099}, false), "");
  EXPECT_EQ(tokenizer->token_bytes(1050), "");
  EXPECT_THROW(static_cast<void>(tokenizer->token_bytes(1100)), UsageError);
}

TEST(Tokenizer, AModelWithFewerRowsDoesNotShrinkTheVocabulary) {
  EXPECT_EQ(make_tokenizer(kHuggingFaceTokenizer, read_text_file(kQwen2), 10)->vocab_size(), 1024);
}

TEST(Tokenizer, AnyBytesComeBackUnchanged) {
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) bytes.push_back(static_cast<char>(byte));
  bytes += " \xE2\x82 a\xF0\x9F\x98z";
  for (const std::string& path : {kData + "llama3-style/tokenizer.json", kStories,
                                  kData + "stories260K-hf/tokenizer.model"}) {
    const auto tokenizer = tokenizer_of(path);
    EXPECT_EQ(tokenizer->decode_bytes(tokenizer->encode(bytes, true), true), bytes) << path;
  }
}

// Tokens are words of 16 bytes at most here, normal forms may shrink texts to a twelfth.
TEST(Tokenizer, KnowsTheFewestTokensOfALongText) {
  std::string text;
  while (text.size() < 60'000) text += "once upon a time ";
  for (const std::string& path : {kData + "llama3-style/tokenizer.json", kQwen2, kStories,
                                  kData + "stories260K-hf/tokenizer.model",
                                  std::string(GRIDMILL_MODELS_DIR "/stories260K/tok512.bin")}) {
    const auto tokenizer = tokenizer_of(path);
    EXPECT_GT(tokenizer->fewest_tokens(text), 60U) << path;
    EXPECT_LE(tokenizer->fewest_tokens(text), tokenizer->encode(text, false).size()) << path;
    EXPECT_EQ(tokenizer->fewest_tokens(std::string(100'000, ' ')), 0U) << path;
    EXPECT_EQ(tokenizer->fewest_tokens(""), 0U) << path;
  }
}

TEST(Tokenizer, KnowsNoFewestTokensWhereTextMayVanish) {
  const std::string text(100'000, 'x');
  Json file = Json::parse(read_text_file(kQwen2));
  const auto bound = [&] { return make_tokenizer(file.dump(), "here")->fewest_tokens(text); };
  EXPECT_GT(bound(), 0U);
  Json changed = file;
  file["normalizer"] = {{"type", "Replace"}, {"pattern", {{"String", "x"}}}, {"content", ""}};
  EXPECT_EQ(bound(), 0U);
  file = changed;
  file["pre_tokenizer"] = {
      {"type", "Sequence"},
      {"pretokenizers",
       {{{"type", "Split"}, {"pattern", {{"String", "x"}}}, {"behavior", "Removed"}},
        changed["pre_tokenizer"]}}};
  EXPECT_EQ(bound(), 0U);
  file = Json::parse(read_text_file(kStories));
  EXPECT_GT(bound(), 0U);
  file["model"]["byte_fallback"] = false;  // any run of unknown characters is one token
  file["model"]["fuse_unk"] = true;
  EXPECT_EQ(bound(), 0U);
}

TEST(Tokenizer, AnIllFormedByteCutsWordsLikeASymbol) {
  const auto tokenizer = tokenizer_of(kData + "llama3-style/tokenizer.json");
  Ids expected = tokenizer->encode("Hello", false);
  const Ids symbol = tokenizer->encode("\xFF", false);
  const Ids rest = tokenizer->encode(" world", false);
  ASSERT_EQ(symbol.size(), 1U);
  expected.insert(expected.end(), symbol.begin(), symbol.end());
  expected.insert(expected.end(), rest.begin(), rest.end());
  EXPECT_EQ(tokenizer->encode("Hello\xFF world", false), expected);
}

TEST(Tokenizer, MayBeUsedByManyThreadsAtOnce) {
  const auto tokenizer = tokenizer_of(kQwen2);
  const std::string text = "Many threads, one tokenizer: caf\u00E9 \u3053\u3093 1234.";
  const Ids expected = tokenizer->encode(text, true);
  std::vector<int> wrong(4, 0);
  {
    std::vector<std::jthread> threads;
    for (int& count : wrong) {
      threads.emplace_back([&] {
        for (int round = 0; round < 200; ++round) {
          count += tokenizer->encode(text, true) != expected ? 1 : 0;
          count += tokenizer->decode(expected, true) != text ? 1 : 0;
        }
      });
    }
  }
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

TEST(Tokenizer, KindsAreToldByTheName) {
  EXPECT_EQ(tokenizer_kind_of("model/tokenizer.json"), kHuggingFaceTokenizer);
  EXPECT_EQ(tokenizer_kind_of("tokenizer.model"), kSentencePieceTokenizer);
  EXPECT_EQ(tokenizer_kind_of("tok512.bin"), kLlama2cTokenizer);
  EXPECT_THROW(static_cast<void>(tokenizer_kind_of("vocab.txt")), UsageError);
  EXPECT_THROW(static_cast<void>(make_tokenizer("tiktoken", "", 0)), UsageError);
  EXPECT_THROW(static_cast<void>(make_tokenizer(kHuggingFaceTokenizer, "{}", -1)), UsageError);
}

// Each of these takes a fraction of a second; a quadratic step anywhere would pass the time limit
// of ctest.
TEST(Tokenizer, LongTextsWithoutABreakAreNoProblem) {
  constexpr std::size_t kSize = 400'000;
  std::string letters;
  std::string bytes;
  std::uint32_t state = 1;
  while (letters.size() < kSize) {
    state = state * 1664525U + 1013904223U;
    letters.push_back(static_cast<char>('a' + (state >> 24) % 26));
    bytes.push_back(static_cast<char>(state >> 24));
  }
  for (const std::string& path : {kData + "llama3-style/tokenizer.json", kStories,
                                  std::string(GRIDMILL_MODELS_DIR "/stories260K/tok512.bin")}) {
    const auto tokenizer = tokenizer_of(path);
    for (const std::string& text :
         {letters, bytes, std::string(kSize, 'x'), std::string(kSize, ' ') + "x",
          std::string(kSize, '\n'), std::string(kSize, '\t') + "\r", std::string(kSize, '7')}) {
      EXPECT_TRUE(tokenizer->decode_bytes(tokenizer->encode(text, true), true) == text) << path;
    }
  }
}

}  // namespace
}  // namespace gridmill
