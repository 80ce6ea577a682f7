#include "gridmill/base/json.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <string>

#include "gridmill/base/clock.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/json_members.hpp"

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

TEST(ParseJson, OfEqualKeysTheLastCounts) {
  EXPECT_EQ(parse_json(R"({"a": 1, "a": {"b": 2, "b": [3]}})", "twice.json"),
            Json({{"a", {{"b", Json::array({3})}}}}));
}

// The parser with a callback that the library has would take a minute for each of these.
TEST(ParseJson, TakesLinearTime) {
  std::string text = "{\"list\":[[]";
  for (int i = 0; i < 200'000; ++i) text += ",{\"a\":[]}";
  text += "]";
  for (int i = 0; i < 200'000; ++i) text += ",\"key" + std::to_string(i) + "\":{}";
  const SteadyClock::time_point start = SteadyClock::now();
  EXPECT_EQ(parse_json(text + "}", "long.json").size(), 200'001U);
  EXPECT_LT(seconds_since(start), 10.0);
}

TEST(ParseJson, RefusesMoreValuesThanAnyFileHas) {
  std::string text(std::size_t{2} << 23, '0');
  for (std::size_t i = 1; i < text.size(); i += 2) text[i] = ',';
  EXPECT_THROW((void)parse_json("[" + text + "0]", "many.json"), FormatError);
}

TEST(ParseJsonMembers, GivesMembersInTheirOrder) {
  std::string seen;
  parse_json_members(R"({"b": [1, {"c": 2}], "a": null, "": {"x": {}}})", "test",
                     [&seen](const std::string& key, const Json& value) {
                       seen += key + "=" + value.dump() + ";";
                     });
  EXPECT_EQ(seen, R"(b=[1,{"c":2}];a=null;={"x":{}};)");
}

TEST(ParseJsonMembers, RefusesOtherTextAndKeysThatOccurTwice) {
  const auto parse = [](const std::string& text) {
    parse_json_members(text, "test", [](const std::string&, const Json&) {});
  };
  for (const char* text : {"", "[]", "3", "{", "{\"a\":1} x", R"({"a": 1, "a": 2})"}) {
    EXPECT_THROW(parse(text), FormatError) << text;
  }
  EXPECT_THROW(parse("{\"a\":" + nested(256) + "}"), FormatError);
}

TEST(OrderedJson, KeepsTheOrderOfKeys) {
  OrderedJson value;
  value["zeta"] = 1;
  value["alpha"] = 2;
  EXPECT_EQ(value.dump(), R"({"zeta":1,"alpha":2})");
}

}  // namespace
}  // namespace gridmill
