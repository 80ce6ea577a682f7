#include <gtest/gtest.h>

#include "gridmill/base/error.hpp"
#include "tokenizer/normalizer_detail.hpp"

namespace gridmill::tokenizer_detail {
namespace {

Normalizer normalizer_of(const std::string& json) {
  return {parse_json(json, "test"), "test: normalizer"};
}

constexpr const char* kLlama = R"({"type": "Sequence", "normalizers": [
    {"type": "Prepend", "prepend": "_"},
    {"type": "Replace", "pattern": {"String": " "}, "content": "_"}]})";

TEST(Normalizer, NullChangesNothing) {
  EXPECT_TRUE(normalizer_of("null").changes_nothing());
  EXPECT_EQ(normalizer_of("null")("a b"), "a b");
}

TEST(Normalizer, PrependsAndReplacesInOrder) {
  EXPECT_EQ(normalizer_of(kLlama)("a b  c"), "_a_b__c");
}

TEST(Normalizer, AnEmptyTextStaysEmpty) { EXPECT_EQ(normalizer_of(kLlama)(""), ""); }

TEST(Normalizer, AStringPatternIsNoRegex) {
  EXPECT_EQ(
      normalizer_of(R"({"type": "Replace", "pattern": {"String": "."}, "content": "!"})")("a.b"),
      "a!b");
  EXPECT_EQ(normalizer_of(R"({"type": "Replace", "pattern": {"Regex": "[0-9]+"}, "content": "#"})")(
                "a12b3"),
            "a#b#");
}

TEST(Normalizer, AppliesUnicodeForms) {
  EXPECT_EQ(normalizer_of(R"({"type": "NFC"})")("e\u0301"), "\u00E9");
  EXPECT_EQ(normalizer_of(R"({"type": "NFKC"})")("\uFB01"), "fi");
}

TEST(Normalizer, NamesAnUnsupportedType) {
  for (const char* type : {"Lowercase", "BertNormalizer", "Precompiled", "Strip", "nfc"}) {
    try {
      normalizer_of(std::string(R"({"type": ")") + type + "\"}");
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
  const Normalizer doubling =
      normalizer_of(R"({"type": "Sequence", "normalizers": [)" + steps + "]}");
  EXPECT_THROW(static_cast<void>(doubling("a")), FormatError);
}

TEST(Normalizer, RefusesWrongFields) {
  for (const char* json : {"3", "{}", R"({"type": 1})", R"({"type": "Sequence"})",
                           R"({"type": "Prepend"})", R"({"type": "Replace", "content": ""})",
                           R"({"type": "Replace", "pattern": "a", "content": ""})",
                           R"({"type": "Replace", "pattern": {}, "content": ""})",
                           R"({"type": "Replace", "pattern": {"Regex": "("}, "content": ""})"}) {
    EXPECT_THROW(normalizer_of(json), FormatError) << json;
  }
}

}  // namespace
}  // namespace gridmill::tokenizer_detail
