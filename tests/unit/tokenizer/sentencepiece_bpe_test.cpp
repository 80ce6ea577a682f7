#include <gtest/gtest.h>

#include <limits>

#include "gridmill/base/error.hpp"
#include "tokenizer/sentencepiece_bpe_detail.hpp"

namespace gridmill::tokenizer_detail {
namespace {

using Ids = std::vector<TokenId>;

// Pieces get the ids 10, 11, ... and the scores 0, -1, ...; unknown is 0.
void fill(SentencePieceBpe& bpe, const std::vector<std::string>& pieces) {
  bpe.set_unknown(0);
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    bpe.add_piece(pieces[i], static_cast<TokenId>(10 + i), -static_cast<float>(i));
  }
}

SentencePieceText plain(bool dummy_prefix, bool remove_extra_whitespaces) {
  return {kPlainSpace, dummy_prefix, remove_extra_whitespaces};
}

TEST(SentencePieceBpe, ThePieceOfTheHighestScoreIsMadeFirst) {
  SentencePieceBpe bpe(plain(false, false), "test");
  fill(bpe, {"bc", "ab", "abc", "a", "b", "c"});
  EXPECT_EQ(bpe.encode("abcab", Stretch::at_start), (Ids{12, 11}));
}

TEST(SentencePieceBpe, APieceMayContainCharactersThatAreNoPieces) {
  SentencePieceBpe bpe(plain(false, false), "test");
  fill(bpe, {"xy", "a"});
  EXPECT_EQ(bpe.encode("axyx", Stretch::at_start), (Ids{11, 10, 0}));
}

TEST(SentencePieceBpe, WritesSpacesAsTheVocabularyDoes) {
  SentencePieceBpe bpe({}, "test");
  fill(bpe, {"\u2581a", "\u2581", "a"});
  EXPECT_EQ(bpe.encode("a  a", Stretch::at_start), (Ids{10, 11, 10}));
  EXPECT_EQ(bpe.encode("", Stretch::at_start), Ids{});
}

TEST(SentencePieceBpe, RemovesExtraSpacesIfAskedFor) {
  SentencePieceBpe bpe(plain(true, true), "test");
  fill(bpe, {" ", "a", "b"});
  EXPECT_EQ(bpe.encode("  a   b ", Stretch::at_start), (Ids{10, 11, 10, 12}));
  EXPECT_EQ(bpe.encode("   ", Stretch::at_start), Ids{});
}

TEST(SentencePieceBpe, UserDefinedPiecesAreCutOutFirst) {
  SentencePieceBpe bpe(plain(false, false), "test");
  fill(bpe, {"ab", "a", "b", "c"});
  bpe.add_user_defined("bc", 5);
  EXPECT_EQ(bpe.encode("abcab", Stretch::at_start), (Ids{11, 5, 10}));
}

TEST(SentencePieceBpe, NeighbouringUnknownCharactersShareOneToken) {
  SentencePieceBpe bpe(plain(false, false), "test");
  fill(bpe, {"a"});
  EXPECT_EQ(bpe.encode("xya\u00E9\xFF", Stretch::at_start), (Ids{0, 10, 0}));
}

TEST(SentencePieceBpe, UnknownCharactersBecomeByteTokens) {
  SentencePieceBpe bpe(plain(false, false), "test");
  fill(bpe, {"a"});
  ByteTokens bytes{};
  for (int value = 0; value < 256; ++value) bytes[value] = 1000 + value;
  bpe.set_byte_tokens(bytes);
  EXPECT_EQ(bpe.encode("a\u00E9\xFF", Stretch::at_start),
            (Ids{10, 1000 + 0xC3, 1000 + 0xA9, 1000 + 0xFF}));
}

TEST(SentencePieceBpe, RefusesPiecesThatNoFileShouldHave) {
  SentencePieceBpe bpe({}, "test");
  EXPECT_THROW(bpe.add_piece("", 1, 0.0F), FormatError);
  EXPECT_THROW(bpe.add_piece(std::string(2000, 'a'), 1, 0.0F), FormatError);
  EXPECT_THROW(bpe.add_piece("a", 1, std::numeric_limits<float>::quiet_NaN()), FormatError);
}

}  // namespace
}  // namespace gridmill::tokenizer_detail
