#include <gtest/gtest.h>

#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/tokenizer/tokenizer.hpp"

namespace gridmill {
namespace {

using Ids = std::vector<TokenId>;

const std::string kTok512 = read_text_file(GRIDMILL_MODELS_DIR "/stories260K/tok512.bin");

std::unique_ptr<Tokenizer> tokenizer_of(const std::string& bytes, int vocab_size) {
  return make_tokenizer(kLlama2cTokenizer, bytes, vocab_size, "tok.bin");
}

TEST(Llama2cFile, ReadsAllTokensOrAsManyAsTheModelHas) {
  EXPECT_EQ(tokenizer_of(kTok512, 0)->vocab_size(), 512);
  EXPECT_EQ(tokenizer_of(kTok512, 512)->vocab_size(), 512);
  EXPECT_THROW(tokenizer_of(kTok512, 511), FormatError);
  EXPECT_THROW(tokenizer_of(kTok512, 32000), FormatError);
}

TEST(Llama2cFile, PutsABeginTokenAndASpaceInFront) {
  const auto tokenizer = tokenizer_of(kTok512, 512);
  EXPECT_EQ(tokenizer->bos(), 1);
  EXPECT_EQ(tokenizer->encode("", true), (Ids{1}));
  const Ids ids = tokenizer->encode("Once upon a time", true);
  EXPECT_EQ(ids.front(), 1);
  EXPECT_EQ(tokenizer->token_bytes(ids[1]).front(), ' ');
}

TEST(Llama2cFile, TheLeadingSpaceGoesRightAfterTheBeginTokenOnly) {
  const auto tokenizer = tokenizer_of(kTok512, 512);
  Ids ids = tokenizer->encode("Once upon a time", true);
  EXPECT_EQ(tokenizer->decode(ids, true), "Once upon a time");
  ids.erase(ids.begin());
  EXPECT_EQ(tokenizer->decode(ids, true), " Once upon a time");
}

TEST(Llama2cFile, ByteTokensCarryAnyByte) {
  const auto tokenizer = tokenizer_of(kTok512, 512);
  const std::string bytes = "\xFF\xC3 \u0416 \xE2\x82";
  EXPECT_EQ(tokenizer->decode_bytes(tokenizer->encode(bytes, true), true), bytes);
  EXPECT_EQ(tokenizer->decode(Ids{3 + 0xE2, 3 + 0x82, 3 + 0x41}, false), "\uFFFDA");
}

TEST(Llama2cFile, ThePlainSpaceIsTheSpace) {
  // In the SentencePiece spelling of the same vocabulary U+2581 in a text reads as a space.
  const auto tokenizer = tokenizer_of(kTok512, 512);
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("\u2581", true), true), "\u2581");
}

TEST(Llama2cFile, RefusesEveryCutOfTheFile) {
  for (std::size_t size = 0; size < kTok512.size(); size += 5) {
    EXPECT_THROW(tokenizer_of(kTok512.substr(0, size), 512), FormatError) << size;
  }
}

TEST(Llama2cFile, RefusesOverlongTokensAndWrongByteTokens) {
  std::string long_token = kTok512;
  long_token[8] = '\x7F';  // length of token 0
  EXPECT_THROW(tokenizer_of(long_token, 512), FormatError);
  std::string renamed = kTok512;
  renamed[renamed.find("<0x41>") + 4] = '2';
  EXPECT_THROW(tokenizer_of(renamed, 512), FormatError);
  std::string not_a_number = kTok512;
  not_a_number.replace(not_a_number.size() - 9, 4, "\xFF\xFF\xFF\x7F");  // the last token's score
  EXPECT_THROW(tokenizer_of(not_a_number, 512), FormatError);
}

}  // namespace
}  // namespace gridmill
