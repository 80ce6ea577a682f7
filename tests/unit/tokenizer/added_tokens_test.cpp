#include <gtest/gtest.h>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "tokenizer/added_tokens_detail.hpp"

namespace gridmill::tokenizer_detail {
namespace {

AddedTokenFinder finder_of(const std::vector<AddedToken>& tokens) {
  AddedTokenFinder finder;
  for (const AddedToken& token : tokens) finder.add(token, token.content, "test");
  return finder;
}

// Stretches as they are, tokens as <id:text>.
std::string segments_of(const AddedTokenFinder& finder, std::string_view text) {
  std::string result;
  for (const Segment& segment : finder.segments(text)) {
    result += segment.id ? fmt::format("<{}:{}>", *segment.id, segment.text)
                         : std::string(segment.text) + "|";
  }
  return result;
}

TEST(AddedTokens, TheLongestAtTheLeftmostPlaceWins) {
  const AddedTokenFinder finder = finder_of(
      {{.id = 1, .content = "ab"}, {.id = 2, .content = "abc"}, {.id = 3, .content = "bcd"}});
  EXPECT_EQ(segments_of(finder, "xabcdab"), "x|<2:abc>d|<1:ab>");
}

TEST(AddedTokens, AWordThatBreaksOffGivesWayToAShorterOne) {
  const AddedTokenFinder finder =
      finder_of({{.id = 1, .content = "  "}, {.id = 2, .content = "    "}});
  EXPECT_EQ(segments_of(finder, "   y"), "<1:  > y|");
}

TEST(AddedTokens, StripsTakeTheWhiteSpaceAroundThem) {
  const AddedTokenFinder finder = finder_of(
      {{.id = 1, .content = "<l>", .lstrip = true}, {.id = 2, .content = "<r>", .rstrip = true}});
  EXPECT_EQ(segments_of(finder, "a \u3000<l> b <r>\n\u00A0c"),
            "a|<1: \u3000<l>> b |<2:<r>\n\u00A0>c|");
  EXPECT_EQ(segments_of(finder, "<r>  <l>"), "<2:<r>  ><1:<l>>");
}

TEST(AddedTokens, ASingleWordTouchesNoOtherWord) {
  const AddedTokenFinder finder = finder_of({{.id = 1, .content = "foo", .single_word = true}});
  EXPECT_EQ(segments_of(finder, "foo food \u00E9foo (foo)"), "<1:foo> food \u00E9foo (|<1:foo>)|");
}

TEST(AddedTokens, IllFormedNeighboursAreNoWords) {
  const AddedTokenFinder finder =
      finder_of({{.id = 1, .content = "foo", .single_word = true, .lstrip = true}});
  EXPECT_EQ(segments_of(finder, "\xFF\x80 foo\xC3"), "\xFF\x80|<1: foo>\xC3|");
}

TEST(AddedTokens, ReadsTheArrayOfATokenizerFile) {
  const Json root = parse_json(R"({"added_tokens": [
      {"id": 7, "content": "<s>", "special": true, "normalized": false},
      {"id": 8, "content": ""},
      {"id": 9, "content": "x", "special": false, "rstrip": true}]})",
                               "test");
  const std::vector<AddedToken> tokens = read_added_tokens(root, 100, "test");
  ASSERT_EQ(tokens.size(), 2U);
  EXPECT_TRUE(tokens[0].special && !tokens[0].normalized && tokens[0].id == 7);
  EXPECT_TRUE(!tokens[1].special && tokens[1].normalized && tokens[1].rstrip);
}

TEST(AddedTokens, RefusesIdsAndFieldsOfTheWrongKind) {
  for (const char* entry :
       {R"({"content": "a"})", R"({"id": -1, "content": "a"})", R"({"id": 101, "content": "a"})",
        R"({"id": 1.5, "content": "a"})", R"({"id": 1})", R"({"id": 1, "content": 2})",
        R"({"id": 1, "content": "a", "special": "yes"})", "3"}) {
    const Json root = parse_json(fmt::format(R"({{"added_tokens": [{}]}})", entry), "test");
    EXPECT_THROW(static_cast<void>(read_added_tokens(root, 100, "test")), FormatError) << entry;
  }
}

TEST(AddedTokens, RefusesOverlongTokens) {
  EXPECT_THROW(finder_of({{.id = 1, .content = std::string(5000, 'a')}}), FormatError);
}

}  // namespace
}  // namespace gridmill::tokenizer_detail
