#include <gtest/gtest.h>

#include <deque>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "tokenizer/pre_tokenizer_detail.hpp"

namespace gridmill::tokenizer_detail {
namespace {

std::string pieces_of(const std::string& json, std::string_view text,
                      Stretch stretch = Stretch::at_start) {
  const PreTokenizer pre_tokenizer(parse_json(json, "test"), "test: pre_tokenizer");
  std::deque<std::string> storage;
  std::string result;
  for (const std::string_view piece : pre_tokenizer(text, stretch, storage)) {
    if (!result.empty()) result += '|';
    result += piece;
  }
  return result;
}

std::string split(const char* pattern, const char* behavior, bool invert) {
  return fmt::format(
      R"({{"type": "Split", "pattern": {{"Regex": "{}"}}, "behavior": "{}", "invert": {}}})",
      pattern, behavior, invert);
}

constexpr const char* kGpt2 = R"({"type": "ByteLevel", "add_prefix_space": false})";

TEST(PreTokenizer, NullLeavesOnePiece) { EXPECT_EQ(pieces_of("null", "a b"), "a b"); }

TEST(PreTokenizer, Gpt2WordsTakeTheBlankBeforeThem) {
  EXPECT_EQ(pieces_of(kGpt2, "Hello  world's 12 ??\n\n x"), "Hello| | world|'s| 12| ??|\n\n| x");
  EXPECT_EQ(pieces_of(kGpt2, "I'LL a  "), "I|'|LL| a|  ");
}

TEST(PreTokenizer, IllFormedBytesSplitWords) {
  EXPECT_EQ(pieces_of(kGpt2,
                      "ab\xFF"
                      "cd 1\xE2\x82 2"),
            "ab|\xFF|cd| 1|\xE2\x82| 2");
}

TEST(PreTokenizer, AddsASpaceUnlessThereIsOne) {
  const char* json = R"({"type": "ByteLevel", "add_prefix_space": true})";
  EXPECT_EQ(pieces_of(json, "a b"), " a| b");
  EXPECT_EQ(pieces_of(json, " a"), " a");
  EXPECT_EQ(pieces_of(json, ""), "");
}

TEST(PreTokenizer, EachSplitBehaviorKeepsMatchesItsOwnWay) {
  const std::string_view text = "a--b-c";
  EXPECT_EQ(pieces_of(split("-", "Removed", false), text), "a|b|c");
  EXPECT_EQ(pieces_of(split("-", "Isolated", false), text), "a|-|-|b|-|c");
  EXPECT_EQ(pieces_of(split("-", "MergedWithPrevious", false), text), "a-|-|b-|c");
  EXPECT_EQ(pieces_of(split("-", "MergedWithNext", false), text), "a|-|-b|-c");
  EXPECT_EQ(pieces_of(split("-", "Contiguous", false), text), "a|--|b|-|c");
  EXPECT_EQ(pieces_of(split("[a-z]", "Removed", true), text), "a|b|c");
}

TEST(PreTokenizer, DigitsStandAloneOrTogether) {
  EXPECT_EQ(pieces_of(R"({"type": "Digits", "individual_digits": true})", "a12\u0663b"),
            "a|1|2|\u0663|b");
  EXPECT_EQ(pieces_of(R"({"type": "Digits", "individual_digits": false})", "a12\u0663b"),
            "a|12\u0663|b");
}

TEST(PreTokenizer, ASequenceSplitsThePiecesOfTheStepBefore) {
  EXPECT_EQ(pieces_of(R"({"type": "Sequence", "pretokenizers": [
      {"type": "Digits", "individual_digits": true}, {"type": "ByteLevel", "add_prefix_space": false}]})",
                      "x 12"),
            "x| |1|2");
}

TEST(PreTokenizer, NamesAnUnsupportedType) {
  for (const char* type : {"BertPreTokenizer", "CharDelimiterSplit", "UnicodeScripts", "punct"}) {
    try {
      pieces_of(fmt::format(R"({{"type": "{}"}})", type), "");
      ADD_FAILURE() << type << " was accepted";
    } catch (const FormatError& error) {
      const std::string message = error.what();
      EXPECT_NE(message.find(type), std::string::npos) << message;
      EXPECT_NE(message.find("unsupported"), std::string::npos) << message;
    }
  }
}

std::string metaspace(const std::string& fields) {
  return R"({"type": "Metaspace", "replacement": "_", )" + fields + "}";
}

TEST(PreTokenizer, MetaspaceMarksSpacesAndBeginsPiecesAtMarks) {
  const std::string always = metaspace(R"("prepend_scheme": "always")");
  EXPECT_EQ(pieces_of(always, "a  b "), "_a|_|_b|_");
  EXPECT_EQ(pieces_of(always, " a"), "_a") << "a text that begins with a space has its mark";
  EXPECT_EQ(pieces_of(always, "_a\tb"), "_a\tb");
  EXPECT_EQ(pieces_of(always, ""), "");
  EXPECT_EQ(pieces_of(metaspace(R"("prepend_scheme": "always", "split": false)"), "a b"), "_a_b");
  EXPECT_EQ(pieces_of(metaspace(R"("prepend_scheme": "never")"), "a b"), "a|_b");
}

TEST(PreTokenizer, MetaspaceFirstIsTheStartOfTheTextOnly) {
  const std::string first = metaspace(R"("prepend_scheme": "first", "split": false)");
  EXPECT_EQ(pieces_of(first, "a b", Stretch::at_start), "_a_b");
  EXPECT_EQ(pieces_of(first, "a b", Stretch::within), "a_b");
  const std::string behind_split = R"({"type": "Sequence", "pretokenizers": [)" +
                                   split("x", "Removed", false) + "," + first + "]}";
  EXPECT_EQ(pieces_of(behind_split, "axa"), "_a|a");
  EXPECT_EQ(pieces_of(behind_split, "xa"), "a") << "the piece does not begin where the text does";
}

TEST(PreTokenizer, MetaspaceReadsTheOldSpelling) {
  EXPECT_EQ(pieces_of(metaspace(R"("add_prefix_space": true)"), "a"), "_a");
  EXPECT_EQ(pieces_of(metaspace(R"("add_prefix_space": false)"), "a"), "a");
  for (const char* fields : {R"("add_prefix_space": false, "prepend_scheme": "first")",
                             R"("prepend_scheme": "last")", R"("split": 1)"}) {
    EXPECT_THROW(pieces_of(metaspace(fields), "a"), FormatError) << fields;
  }
  EXPECT_THROW(pieces_of(R"({"type": "Metaspace", "replacement": "ab"})", "a"), FormatError);
}

TEST(PreTokenizer, PunctuationIsAsciiSymbolsAndCategoryP) {
  EXPECT_EQ(pieces_of(R"({"type": "Punctuation"})", "a.,$b\u3001\u20ac"),
            "a|.|,|$|b|\u3001|\u20ac");
  EXPECT_EQ(pieces_of(R"({"type": "Punctuation", "behavior": "Contiguous"})", "a.,b"), "a|.,|b");
}

TEST(PreTokenizer, WhitespaceIsDropped) {
  EXPECT_EQ(pieces_of(R"({"type": "WhitespaceSplit"})", " a.b\u3000c "), "a.b|c");
  EXPECT_EQ(pieces_of(R"({"type": "Whitespace"})", " a_1.!b\u200dc"), "a_1|.!|b\u200dc");
}

// Byte 0xBD of the half is written as U+00BD, which is numeric.
TEST(PreTokenizer, StepsBehindByteLevelSeeItsAlphabet) {
  EXPECT_EQ(pieces_of(R"({"type": "Sequence", "pretokenizers": [
      {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false},
      {"type": "Digits", "individual_digits": false},
      {"type": "Split", "pattern": {"Regex": "[0-9][0-9]"}, "behavior": "Isolated", "invert": false}]})",
                      "a123 \u00bd"),
            "a|12|3| \xC2|\xBD");
}

TEST(PreTokenizer, RefusesSomeStepsAfterByteLevelAndUnknownBehaviors) {
  EXPECT_THROW(pieces_of(R"({"type": "Sequence", "pretokenizers": [
      {"type": "ByteLevel"}, {"type": "ByteLevel"}]})",
                         ""),
               FormatError);
  EXPECT_THROW(pieces_of(R"({"type": "Sequence", "pretokenizers": [
      {"type": "ByteLevel"}, {"type": "Metaspace", "replacement": "_"}]})",
                         ""),
               FormatError);
  EXPECT_THROW(pieces_of(split("-", "Sometimes", false), ""), FormatError);
}

}  // namespace
}  // namespace gridmill::tokenizer_detail
