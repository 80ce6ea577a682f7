#include <gtest/gtest.h>

#include "tokenizer/unicode_detail.hpp"

namespace gridmill::tokenizer_detail {
namespace {

using enum NormalizationForm;

TEST(Unicode, ComposesAndDecomposes) {
  EXPECT_EQ(normalize_unicode("cafe\u0301 \u212B", nfc), "caf\u00E9 \u00C5");
  EXPECT_EQ(normalize_unicode("caf\u00E9", nfd), "cafe\u0301");
  EXPECT_EQ(normalize_unicode("\u1112\u1161\u11AB", nfc), "\uD55C");
  EXPECT_EQ(normalize_unicode("\uFB01\u00B2", nfkc), "fi2");
  EXPECT_EQ(normalize_unicode("\uFB01\u00E9", nfkd), "fie\u0301");
}

TEST(Unicode, OrdersMarksByTheirClassAndKeepsEqualOnesInPlace) {
  EXPECT_EQ(normalize_unicode("x\u0301\u0323\u0300", nfc), "x\u0323\u0301\u0300");
}

// A million marks in the worst order: an ordering in quadratic time would take hours.
TEST(Unicode, OrdersLongRunsOfMarks) {
  constexpr int kPairs = 500'000;
  std::string mixed = "x";
  std::string ordered = "x";
  for (int i = 0; i < kPairs; ++i) mixed += "\u0301\u0323";
  for (int i = 0; i < kPairs; ++i) ordered += "\u0323";
  for (int i = 0; i < kPairs; ++i) ordered += "\u0301";
  EXPECT_TRUE(normalize_unicode(mixed, nfd) == ordered);
}

TEST(Unicode, IllFormedBytesStayAndSeparate) {
  EXPECT_EQ(normalize_unicode("e\xFF\u0301 e\u0301\xE2\x82", nfc), "e\xFF\u0301 \u00E9\xE2\x82");
}

TEST(Unicode, KeepsNulCharacters) {
  using namespace std::string_literals;
  EXPECT_EQ(normalize_unicode("e\u0301\0e\u0301"s, nfc), "\u00E9\0\u00E9"s);
}

TEST(Unicode, KnowsNumbersSpacesAndWords) {
  EXPECT_TRUE(is_numeric(U'7') && is_numeric(U'\u0663') && is_numeric(U'\u00BD'));
  EXPECT_FALSE(is_numeric(U'a'));
  EXPECT_TRUE(is_white_space(U'\u0085') && is_white_space(U'\u00A0') && is_white_space(U'\t'));
  EXPECT_FALSE(is_white_space(U'\u200B') || is_white_space(U'\u180E') || is_white_space(U'\uFEFF'));
  EXPECT_TRUE(is_word_character(U'_') && is_word_character(U'\u0301') &&
              is_word_character(U'\u24B6'));
  EXPECT_FALSE(is_word_character(U'-') || is_word_character(U' '));
}

}  // namespace
}  // namespace gridmill::tokenizer_detail
