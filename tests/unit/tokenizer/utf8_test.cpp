#include <gtest/gtest.h>

#include "tokenizer/utf8_detail.hpp"

namespace gridmill::tokenizer_detail {
namespace {

TEST(Utf8, ReadsTheFirstAndLastCharacterOfEachLength) {
  for (const char32_t code_point : {U'\0', U'\x7F', U'\x80', U'\x7FF', U'\x800', U'\xD7FF',
                                    U'\xE000', U'\xFFFF', U'\x10000', U'\x10FFFF'}) {
    std::string text;
    append_utf8(text, code_point);
    const Utf8Unit unit = next_utf8(text, 0);
    EXPECT_TRUE(unit.well_formed);
    EXPECT_EQ(unit.code_point, code_point);
    EXPECT_EQ(unit.length, text.size());
  }
}

TEST(Utf8, OverlongFormsSurrogatesAndTooLargeNumbersAreIllFormed) {
  for (const char* bytes : {"\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80",
                            "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF"}) {
    EXPECT_FALSE(is_well_formed_utf8(bytes));
    EXPECT_EQ(next_utf8(bytes, 0).length, 1U);
  }
}

TEST(Utf8, EachMaximalIllFormedPartBecomesOneReplacement) {
  // The example of Unicode, section 3.9, table 3-8, and a three-byte start that breaks off.
  EXPECT_EQ(replace_ill_formed("a\xF1\x80\x80\xE1\x80\xC2"
                               "b\x80"
                               "c\x80\xBF"
                               "d"),
            "a\uFFFD\uFFFD\uFFFDb\uFFFDc\uFFFD\uFFFDd");
  EXPECT_EQ(replace_ill_formed("\xE2\x82"
                               "A"),
            "\uFFFDA");
}

TEST(Utf8, TellsACharacterThatTheEndCutsFromAWrongOne) {
  EXPECT_TRUE(next_utf8("\xF0\x9F\x98", 0).cut_off);
  EXPECT_FALSE(next_utf8("\xF0\x9F\x41", 0).cut_off);
  EXPECT_FALSE(next_utf8("\x80", 0).cut_off);
}

}  // namespace
}  // namespace gridmill::tokenizer_detail
