#include "gridmill/base/json.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <string>

#include "gridmill/base/error.hpp"

namespace gridmill {
namespace {

std::string nested(int depth, const std::string& inside = "") {
  return std::string(static_cast<std::size_t>(depth), '[') + inside +
         std::string(static_cast<std::size_t>(depth), ']');
}

TEST(ParseJson, ReadsValues) {
  const Json value = parse_json(R"({"text": "caf\u00e9", "ids": [1, 2], "x": -1.5e3})", "line 1");
  EXPECT_EQ(value.at("text"), "caf\xc3\xa9");
  EXPECT_EQ(value.at("ids"), Json({1, 2}));
  EXPECT_EQ(value.at("x"), -1500.0);
}

TEST(ParseJson, RefusesWhatIsNoJson) {
  for (const char* text :
       {"", " ", "{", "[1,]", "{\"a\":1,}", "{'a':1}", "nul", "01", "[1] [2]", "// comment\n1",
        "[1] /* comment */", "\"\xff\"", "\"\xed\xa0\x80\"", "NaN", "\"tab\there\"", "{\"a\" 1}"}) {
    EXPECT_THROW((void)parse_json(text, "prompts.jsonl:3"), FormatError) << text;
  }
}

TEST(ParseJson, ANumberBeyondEveryTypeIsAFormatError) {
  EXPECT_THROW((void)parse_json("[1e999]", "prompts.jsonl:3"), FormatError);
}

TEST(ParseJson, TheMessageNamesTheSource) {
  try {
    (void)parse_json("{", "prompts.jsonl:3");
    FAIL() << "nothing was thrown";
  } catch (const FormatError& error) {
    const std::string message = error.what();
    EXPECT_EQ(message.rfind("prompts.jsonl:3: not valid JSON: ", 0), 0U) << message;
  }
}

TEST(ParseJson, Takes256LevelsAndNoMore) {
  EXPECT_EQ(parse_json(nested(256), "deep.json").size(), 1U);
  EXPECT_THROW((void)parse_json(nested(257), "deep.json"), FormatError);
}

TEST(ParseJson, ObjectsCountAsLevelsToo) {
  std::string text;
  for (int i = 0; i < 257; ++i) text += "{\"a\":";
  text += "1" + std::string(257, '}');
  EXPECT_THROW((void)parse_json(text, "deep.json"), FormatError);
}

TEST(ParseJson, AMillionLevelsDoNotExhaustTheStack) {
  EXPECT_THROW((void)parse_json(nested(1000000), "deep.json"), FormatError);
  EXPECT_THROW((void)parse_json(std::string(1000000, '['), "deep.json"), FormatError);
}

TEST(ParseJson, WideIsNotDeep) {
  std::string text = "[0";
  for (int i = 0; i < 1000; ++i) text += ",[]";
  EXPECT_EQ(parse_json(text + "]", "wide.json").size(), 1001U);
}

TEST(OrderedJson, KeepsTheOrderOfKeys) {
  OrderedJson value;
  value["zeta"] = 1;
  value["alpha"] = 2;
  EXPECT_EQ(value.dump(), R"({"zeta":1,"alpha":2})");
}

}  // namespace
}  // namespace gridmill
