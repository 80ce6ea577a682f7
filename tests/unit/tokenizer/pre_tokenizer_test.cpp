#include <gtest/gtest.h>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "tokenizer/pre_tokenizer_detail.hpp"

namespace gridmill::tokenizer_detail {
namespace {

std::string pieces_of(const std::string& json, std::string_view text) {
  const PreTokenizer pre_tokenizer(parse_json(json, "test"), "test: pre_tokenizer");
  std::vector<std::string> storage;
  std::string result;
  for (const std::string_view piece : pre_tokenizer(text, storage)) {
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
  for (const char* type : {"Metaspace", "Whitespace", "BertPreTokenizer", "Punctuation"}) {
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

TEST(PreTokenizer, RefusesStepsAfterByteLevelAndUnknownBehaviors) {
  EXPECT_THROW(pieces_of(R"({"type": "Sequence", "pretokenizers": [
      {"type": "ByteLevel"}, {"type": "Digits"}]})",
                         ""),
               FormatError);
  EXPECT_THROW(pieces_of(split("-", "Sometimes", false), ""), FormatError);
}

}  // namespace
}  // namespace gridmill::tokenizer_detail
