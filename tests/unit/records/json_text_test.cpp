#include "gridmill/records/json_text.hpp"

#include <gtest/gtest.h>

#include <array>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace gridmill {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

Pairs members(const std::string& object) {
  Pairs found;
  for (const JsonMember& member : members_of_json(object)) {
    found.emplace_back(member.key, std::string(member.value));
  }
  return found;
}

TEST(JsonMembers, StandAsTheyAre) {
  EXPECT_EQ(
      members(R"( { "a" : 1.50 , "b\n":"x\"}, ","c":[1,{"d":"]"}], "e":{"f":{}} ,"g":null} )"),
      (Pairs{{"a", "1.50"},
             {"b\n", R"("x\"}, ")"},
             {"c", R"([1,{"d":"]"}])"},
             {"e", R"({"f":{}})"},
             {"g", "null"}}));
  EXPECT_EQ(members("{}"), Pairs{});
  EXPECT_EQ(members(" { } "), Pairs{});
}

TEST(JsonMembers, MayBeWhatPythonWrites) {
  EXPECT_EQ(members("{\"a\": NaN, \"b\": -Infinity}"), (Pairs{{"a", "NaN"}, {"b", "-Infinity"}}));
}

TEST(JsonOfValues, KeepsOrderNumbersAndBigIntegers) {
  const std::string text =
      R"({"z":1,"a":1.5,"big":123456789012345678901234567890,"l":[true,null,"\u00e4\"\n"],"o":{}})";
  EXPECT_EQ(
      json_of(jinja::Value::from_json(text, "test")),
      "{\"z\":1,\"a\":1.5,\"big\":123456789012345678901234567890,\"l\":[true,null,\"\u00e4\\\""
      "\\n\"],\"o\":{}}");
}

TEST(JsonOfRows, ListsMayBeListsOfLists) {
  const std::array<TokenId, 4> ids = {1, 2, 3, 4};
  const std::array<float, 2> numbers = {-0.5F, 0};
  EXPECT_EQ(json_of(RowValue(std::span<const TokenId>(ids))), "[1,2,3,4]");
  EXPECT_EQ(json_of(RowValue(std::span<const TokenId>(ids)), 2), "[[1,2],[3,4]]");
  EXPECT_EQ(json_of(RowValue(std::span<const TokenId>(ids)), 1), "[[1],[2],[3],[4]]");
  EXPECT_EQ(json_of(RowValue(std::span<const float>(numbers))), "[-0.5,0.0]");
  EXPECT_EQ(json_of(RowValue(std::span<const TokenId>())), "[]");
  EXPECT_EQ(json_of(RowValue()), "null");
  EXPECT_EQ(json_of(RowValue(std::string("a\xFF"))), "\"a\xEF\xBF\xBD\"");
}

}  // namespace
}  // namespace gridmill
