#include <gtest/gtest.h>

#include "gridmill/base/error.hpp"
#include "tokenizer/normalizer_detail.hpp"

namespace gridmill::tokenizer_detail {
namespace {

Normalizer made_of(const std::string& json) {
  return {parse_json(json, "test"), "test: normalizer"};
}

std::string normalized(const std::string& json, std::string_view text) {
  return made_of(json)(text).text;
}

constexpr const char* kLlama = R"({"type": "Sequence", "normalizers": [
    {"type": "Prepend", "prepend": "_"},
    {"type": "Replace", "pattern": {"String": " "}, "content": "_"}]})";

TEST(Normalizer, NullChangesNothing) {
  EXPECT_TRUE(made_of("null").changes_nothing());
  EXPECT_EQ(normalized("null", "a b"), "a b");
}

TEST(Normalizer, PrependsAndReplacesInOrder) { EXPECT_EQ(normalized(kLlama, "a b  c"), "_a_b__c"); }

TEST(Normalizer, AnEmptyTextStaysEmpty) { EXPECT_EQ(normalized(kLlama, ""), ""); }

TEST(Normalizer, AStringPatternIsNoRegex) {
  EXPECT_EQ(normalized(R"({"type": "Replace", "pattern": {"String": "."}, "content": "!"})", "a.b"),
            "a!b");
  EXPECT_EQ(
      normalized(R"({"type": "Replace", "pattern": {"Regex": "[0-9]+"}, "content": "#"})", "a12b3"),
      "a#b#");
}

TEST(Normalizer, AppliesUnicodeForms) {
  EXPECT_EQ(normalized(R"({"type": "NFC"})", "e\u0301"), "\u00E9");
  EXPECT_EQ(normalized(R"({"type": "NFKC"})", "\uFB01"), "fi");
}

TEST(Normalizer, StripTakesWhiteSpaceFromItsSides) {
  EXPECT_EQ(
      normalized(R"({"type": "Strip", "strip_left": true, "strip_right": false})", "\u3000 a "),
      "a ");
  EXPECT_EQ(normalized(R"({"type": "Strip", "strip_left": false, "strip_right": true})", " a \n"),
            " a");
  EXPECT_EQ(normalized(R"({"type": "Strip", "strip_left": true, "strip_right": true})", " \t "),
            "");
}

TEST(Normalizer, TellsWhetherTheTextStillBeginsWhereItDid) {
  const std::string strip = R"({"type": "Strip", "strip_left": true, "strip_right": true})";
  EXPECT_TRUE(made_of(strip)("a ").keeps_start);
  EXPECT_FALSE(made_of(strip)(" a").keeps_start);
  const std::string replace = R"({"type": "Replace", "pattern": {"String": "x"}, "content": ""})";
  EXPECT_TRUE(made_of(replace)("axb").keeps_start);
  EXPECT_FALSE(made_of(replace)("xb").keeps_start);
}

TEST(Normalizer, RefusesACharsmapThatIsNone) {
  for (const char* map : {"", "AAA", "AAAA", "####", "BAAAAA==", "/////w=="}) {
    EXPECT_THROW(
        made_of(std::string(R"({"type": "Precompiled", "precompiled_charsmap": ")") + map + "\"}"),
        FormatError)
        << map;
  }
}

TEST(Normalizer, NamesAnUnsupportedType) {
  for (const char* type : {"Lowercase", "BertNormalizer", "StripAccents", "nfc"}) {
    try {
      made_of(std::string(R"({"type": ")") + type + "\"}");
      ADD_FAILURE() << type << " was accepted";
    } catch (const FormatError& error) {
      const std::string message = error.what();
      EXPECT_NE(message.find(type), std::string::npos) << message;
      EXPECT_NE(message.find("unsupported"), std::string::npos) << message;
    }
  }
}

TEST(Normalizer, RefusesAFileThatBlowsTextsUp) {
  std::string steps;
  for (int i = 0; i < 40; ++i) {
    steps += R"({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"},)";
  }
  steps.pop_back();
  const Normalizer doubling = made_of(R"({"type": "Sequence", "normalizers": [)" + steps + "]}");
  EXPECT_THROW(static_cast<void>(doubling("a")), FormatError);
}

TEST(Normalizer, RefusesWrongFields) {
  for (const char* json : {"3", "{}", R"({"type": 1})", R"({"type": "Sequence"})",
                           R"({"type": "Prepend"})", R"({"type": "Replace", "content": ""})",
                           R"({"type": "Replace", "pattern": "a", "content": ""})",
                           R"({"type": "Replace", "pattern": {}, "content": ""})",
                           R"({"type": "Replace", "pattern": {"Regex": "("}, "content": ""})"}) {
    EXPECT_THROW(made_of(json), FormatError) << json;
  }
}

}  // namespace
}  // namespace gridmill::tokenizer_detail
