#include <gtest/gtest.h>

#include "gridmill/base/error.hpp"
#include "tokenizer/regex_detail.hpp"

namespace gridmill::tokenizer_detail {
namespace {

// Pieces joined by '|', matches in brackets.
std::string cuts_of(std::string_view pattern, std::string_view text) {
  std::string result;
  for (const TextCut& cut : Regex(pattern, "test").cut(text)) {
    if (!result.empty()) result += '|';
    const std::string piece(text.substr(cut.begin, cut.end - cut.begin));
    result += cut.is_match ? "[" + piece + "]" : piece;
  }
  return result;
}

TEST(Regex, CutsAtMatchesFromLeftToRight) {
  EXPECT_EQ(cuts_of("\\d+", "ab12c345"), "ab|[12]|c|[345]");
  EXPECT_EQ(cuts_of("x", "abc"), "abc");
  EXPECT_EQ(cuts_of("x", ""), "");
}

TEST(Regex, EmptyMatchesCutButNotBehindAMatch) {
  EXPECT_EQ(cuts_of("(?=B)", "aBcB"), "a|[]|Bc|[]|B");
  EXPECT_EQ(cuts_of("b*", "abb"), "[]|a|[bb]");
}

TEST(Regex, WhiteSpaceIsTheUnicodeProperty) {
  EXPECT_EQ(cuts_of("\\s+", "a\u00A0\u0085\u2028\u3000b"), "a|[\u00A0\u0085\u2028\u3000]|b");
  EXPECT_EQ(cuts_of("\\s", "\u180E\u200B\uFEFF"), "\u180E\u200B\uFEFF");
  EXPECT_EQ(cuts_of("[^\\S\\n]+", "a \n\tb"), "a|[ ]|\n|[\t]|b");
}

TEST(Regex, WordsIncludeMarksAndConnectors) {
  EXPECT_EQ(cuts_of("\\w+", "e\u0301_\u203F-x"), "[e\u0301_\u203F]|-|[x]");
  EXPECT_EQ(cuts_of("[\\w]+|\\W", "a-"), "[a]|[-]");
}

TEST(Regex, CaseFoldingKnowsTheLongS) {
  EXPECT_EQ(cuts_of("(?i:'s)", "'\u017F'S"), "['\u017F]|['S]");
}

TEST(Regex, ReadsHexadecimalEscapes) {
  EXPECT_EQ(cuts_of("\\u00e9|\\x{e8}", "\u00E8\u00E9e"), "[\u00E8]|[\u00E9]|e");
}

TEST(Regex, AnIllFormedByteIsASymbol) {
  EXPECT_EQ(cuts_of("\\p{L}+|\\p{N}+|\\s+|[^\\s\\p{L}\\p{N}]+",
                    "ab\xFF\xFE"
                    "1\xC3 \x80z"),
            "[ab]|[\xFF\xFE]|[1]|[\xC3]|[ ]|[\x80]|[z]");
}

TEST(Regex, AClassInsideAClassIsJoined) {
  EXPECT_EQ(cuts_of("[[a-c][x-z]1]+", "mbx1n"), "m|[bx1]|n");
  EXPECT_EQ(cuts_of(" ?[^(\\s|[.,!?])]+", "ab c.(d)"), "[ab]|[ c]|.(|[d]|)");
  EXPECT_EQ(cuts_of("[^[^a]]+", "bab"), "b|[a]|b");
  EXPECT_EQ(cuts_of("[a[^\\w]]+", "ba-c"), "b|[a-]|c");
}

TEST(Regex, TwoAmpersandsIntersect) {
  EXPECT_EQ(cuts_of("[a-d&&c-f]+", "abcdef"), "ab|[cd]|ef");
  EXPECT_EQ(cuts_of("[^a-d&&c-f]+", "abcdef"), "[ab]|cd|[ef]") << "negation comes last";
  EXPECT_EQ(cuts_of("[\\p{L}&&[^\\p{Han}]]+|[\\p{Han}]+", "ab\u4E2D1"), "[ab]|[\u4E2D]|1");
  EXPECT_EQ(cuts_of("[a-z&&[^b]&&[^d]]+", "abcde"), "[a]|b|[c]|d|[e]");
}

TEST(Regex, AScriptIsThePropertyScript) {
  EXPECT_EQ(cuts_of("\\p{Han}+", "\u4E2D\u3005\u3001"), "[\u4E2D\u3005]|\u3001");
  EXPECT_EQ(cuts_of("\\p{Hiragana}+", "\u3042\u30FC"), "[\u3042]|\u30FC") << "U+30FC is Common";
  EXPECT_EQ(cuts_of("\\p{^Latin}+", "a1b"), "a|[1]|b");
  EXPECT_EQ(cuts_of("\\p{Letter}+|\\P{Number}", "ab1-"), "[ab]|1|[-]");
}

TEST(Regex, ALiteralStandsForItself) {
  const Regex literal = Regex::of_literal("a.(b)", "test");
  EXPECT_EQ(literal.cut("a.(b)axb").size(), 2U);
}

TEST(Regex, RefusesWhatTheEnginesReadDifferently) {
  for (const char* pattern : {"\\h", "\\bword", "[a&&]", "[a-\\d]", "\\p{a(b}", "\\p{N}{1,3}+",
                              "(?m:.)", "(*UTF)a", "\\Qa\\E", "a\\Kb", "[\\W]", "(?<name>a)"}) {
    try {
      const Regex regex(pattern, "test.json: Split");
      ADD_FAILURE() << pattern << " was accepted";
    } catch (const FormatError& error) {
      EXPECT_NE(std::string(error.what()).find("unsupported"), std::string::npos) << error.what();
    }
  }
}

TEST(Regex, NamesAWrongPattern) {
  EXPECT_THROW(Regex("(a", "test"), FormatError);
  EXPECT_THROW(Regex("[a", "test"), FormatError);
  EXPECT_THROW(Regex("[a[b]", "test"), FormatError);
  EXPECT_THROW(Regex(std::string(100, '[') + "a" + std::string(100, ']'), "test"), FormatError);
  EXPECT_THROW(Regex("a\\", "test"), FormatError);
  EXPECT_THROW(Regex("\\p{Nonsense}", "test"), FormatError);
  EXPECT_THROW(Regex(std::string(100'000, 'a'), "test"), FormatError);
}

TEST(Regex, GivesUpOnExponentialBacktracking) {
  const Regex regex("(?:a+)+b", "test");
  EXPECT_THROW(static_cast<void>(regex.cut(std::string(5000, 'a') + "cb")), FormatError);
}

}  // namespace
}  // namespace gridmill::tokenizer_detail
