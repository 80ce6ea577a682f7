#include "gridmill/tokenizer/decode_stream.hpp"

#include <gtest/gtest.h>

#include <random>

#include "gridmill/base/error.hpp"
#include "unit/tokenizer/vectors.hpp"

namespace gridmill {
namespace {

const std::string kByteLevel = GRIDMILL_TEST_DATA "/tokenizer/llama3-style/tokenizer.json";
const std::string kByteRuns = GRIDMILL_TEST_DATA "/tokenizer/stories260K-hf/tokenizer.json";
const std::string kLlama2c = GRIDMILL_MODELS_DIR "/stories260K/tok512.bin";

TEST(DecodeStream, HoldsAnUnfinishedCharacterBack) {
  const auto tokenizer = tokenizer_of(kLlama2c);  // byte tokens are byte + 3
  DecodeStream stream(*tokenizer, true);
  EXPECT_EQ(stream.push(3 + 0xF0), "");
  EXPECT_EQ(stream.push(3 + 0x9F), "");
  EXPECT_EQ(stream.push(3 + 0x98), "");
  EXPECT_EQ(stream.push(3 + 0x80), "\U0001F600");
  EXPECT_EQ(stream.push(3 + 0xE2), "");
  EXPECT_EQ(stream.finish(), "\uFFFD");
}

TEST(DecodeStream, JudgesARunOfByteTokensAsAWhole) {
  const auto tokenizer = tokenizer_of(kByteRuns);
  DecodeStream stream(*tokenizer, true);
  EXPECT_EQ(stream.push(3 + 0xC3), "");
  EXPECT_EQ(stream.push(3 + 0xA9), "");
  const TokenId a = tokenizer->encode("a", false).back();
  EXPECT_EQ(stream.push(a), "\u00E9" + tokenizer->token_bytes(a));
  EXPECT_EQ(stream.push(3 + 0xC3) + stream.push(3 + 0xA9) + stream.push(3 + 0xC3), "");
  EXPECT_EQ(stream.finish(), "\uFFFD\uFFFD\uFFFD");
}

TEST(DecodeStream, SkippedTokensMakeNeighboursOfTheBytesAroundThem) {
  const auto tokenizer = tokenizer_of(kByteLevel);
  std::vector<TokenId> bytes_of_euro;
  for (const char* byte : {"\xE2", "\x82", "\xAC"}) {
    bytes_of_euro.push_back(tokenizer->encode(byte, false).at(0));
  }
  const TokenId special = *tokenizer->bos();
  const std::vector<TokenId> ids = {bytes_of_euro[0], special, bytes_of_euro[1], bytes_of_euro[2]};
  EXPECT_EQ(streamed(*tokenizer, ids, true), "\u20AC");
  EXPECT_EQ(streamed(*tokenizer, ids, false), "\uFFFD<|begin_of_text|>\uFFFD\uFFFD");
}

TEST(DecodeStream, IsAsNewAfterFinish) {
  const auto tokenizer = tokenizer_of(kByteRuns);
  DecodeStream stream(*tokenizer, true);
  for (int round = 0; round < 2; ++round) {
    std::string text;
    for (const TokenId id : tokenizer->encode("Once upon", true)) text += stream.push(id);
    EXPECT_EQ(text + stream.finish(), "Once upon");
  }
}

TEST(DecodeStream, GivesTheTextOfTheWholeHoweverTheIdsFall) {
  std::mt19937 random(3);
  for (const std::string& path : {kByteLevel, kByteRuns, kLlama2c}) {
    const auto tokenizer = tokenizer_of(path);
    for (int round = 0; round < 500; ++round) {
      std::vector<TokenId> ids;
      for (int i = 0; i < 12; ++i) ids.push_back(static_cast<TokenId>(random() % 300));
      const bool skip_special = round % 2 == 0;
      EXPECT_EQ(streamed(*tokenizer, ids, skip_special), tokenizer->decode(ids, skip_special));
    }
  }
}

TEST(DecodeStream, RefusesIdsOutsideTheVocabulary) {
  const auto tokenizer = tokenizer_of(kLlama2c);
  DecodeStream stream(*tokenizer, true);
  EXPECT_THROW(static_cast<void>(stream.push(512)), UsageError);
  EXPECT_THROW(static_cast<void>(stream.push(-1)), UsageError);
}

}  // namespace
}  // namespace gridmill
