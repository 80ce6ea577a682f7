#include <gtest/gtest.h>

#include "gridmill/base/error.hpp"
#include "tokenizer/bpe_detail.hpp"

namespace gridmill::tokenizer_detail {
namespace {

using Ids = std::vector<TokenId>;

BpeModel model_of(const std::string& json, bool is_byte_level = false) {
  return {parse_json(json, "test"), is_byte_level, "test: model"};
}

Ids ids_of(const BpeModel& model, std::string_view piece) {
  MergeScratch scratch;
  Ids ids;
  model.append_ids(piece, scratch, ids);
  return ids;
}

TEST(Bpe, MergesByRankAndReadsBothSpellings) {
  const std::string vocab =
      R"({"vocab": {"a": 0, "b": 1, "c": 2, "ab": 3, "bc": 4, "abc": 5}, "merges": )";
  EXPECT_EQ(ids_of(model_of(vocab + R"(["b c", "a b", "a bc"]})"), "abcab"), (Ids{5, 3}));
  EXPECT_EQ(ids_of(model_of(vocab + R"([["a", "b"], ["b", "c"]]})"), "abc"), (Ids{3, 2}));
}

TEST(Bpe, OfEqualMergesTheLastOneCounts) {
  EXPECT_EQ(ids_of(model_of(R"({"vocab": {"a": 0, "b": 1, "c": 2, "ab": 3, "bc": 4},
                                "merges": ["a b", "b c", "a b"]})"),
                   "abc"),
            (Ids{0, 4}));
}

TEST(Bpe, IgnoreMergesTakesAWholePieceAsItIs) {
  const std::string model = R"({"vocab": {"a": 0, "b": 1, "aab": 2}, "merges": [])";
  EXPECT_EQ(ids_of(model_of(model + "}"), "aab"), (Ids{0, 0, 1}));
  EXPECT_EQ(ids_of(model_of(model + R"(, "ignore_merges": true})"), "aab"), (Ids{2}));
  EXPECT_EQ(ids_of(model_of(model + R"(, "ignore_merges": true})"), "aa"), (Ids{0, 0}));
}

TEST(Bpe, ByteLevelSymbolsAreBytes) {
  const BpeModel model =
      model_of(R"({"vocab": {"\u0120": 0, "a": 1, "\u0120a": 2, "\u00c3": 3, "\u00a9": 4},
                   "merges": [["\u0120", "a"]]})",
               true);
  EXPECT_EQ(ids_of(model, " a\u00E9\xC3"), (Ids{2, 3, 4, 3}));
}

TEST(Bpe, NeighbouringUnknownSymbolsAreFusedIfAskedFor) {
  const std::string model = R"({"vocab": {"<unk>": 0, "a": 1}, "merges": [], "unk_token": "<unk>")";
  EXPECT_EQ(ids_of(model_of(model + "}"), "xya\u00E9"), (Ids{0, 0, 1, 0}));
  EXPECT_EQ(ids_of(model_of(model + R"(, "fuse_unk": true})"), "xya\u00E9"), (Ids{0, 1, 0}));
}

TEST(Bpe, ByteFallbackNeedsATokenForEveryByteOfTheCharacter) {
  const BpeModel model = model_of(R"({"vocab": {"<unk>": 0, "<0xC3>": 1, "<0xA9>": 2},
      "merges": [], "unk_token": "<unk>", "byte_fallback": true})");
  EXPECT_EQ(ids_of(model, "\u00E9"), (Ids{1, 2}));
  EXPECT_EQ(ids_of(model, "\u00E8"), (Ids{0}));
  EXPECT_EQ(ids_of(model, "\xC3"), (Ids{1}));
}

TEST(Bpe, ASymbolWithoutATokenIsAnErrorThatNamesIt) {
  try {
    ids_of(model_of(R"({"vocab": {"a": 0}, "merges": []})"), "a\u00E9");
    FAIL() << "accepted";
  } catch (const FormatError& error) {
    EXPECT_NE(std::string(error.what()).find("`\u00E9`"), std::string::npos) << error.what();
  }
  try {
    ids_of(model_of(R"({"vocab": {"a": 0}, "merges": []})", true), "a\xFF");
    FAIL() << "accepted";
  } catch (const FormatError& error) {
    EXPECT_NE(std::string(error.what()).find("0xFF"), std::string::npos) << error.what();
  }
}

TEST(Bpe, RefusesWhatItDoesNotRun) {
  for (const char* json : {R"({"type": "Unigram", "vocab": [], "merges": []})",
                           R"({"type": "WordPiece", "vocab": {}})", R"({"vocab": {}})",
                           R"({"vocab": {}, "merges": [], "dropout": 0.1})",
                           R"({"vocab": {}, "merges": [], "end_of_word_suffix": "</w>"})",
                           R"({"vocab": {}, "merges": [], "continuing_subword_prefix": "##"})"}) {
    EXPECT_THROW(model_of(json), FormatError) << json;
  }
}

TEST(Bpe, RefusesWrongFields) {
  for (const char* json :
       {R"({"type": "BPE", "vocab": {"a": 0}})", R"({"type": "BPE", "merges": []})",
        R"({"vocab": {"a": -1}, "merges": []})", R"({"vocab": {"a": 4000000000}, "merges": []})",
        R"({"vocab": {"a": "0"}, "merges": []})", R"({"vocab": {"a": 0}, "merges": ["a"]})",
        R"({"vocab": {"a": 0}, "merges": ["a a a"]})", R"({"vocab": {"a": 0}, "merges": ["a a"]})",
        R"({"vocab": {"a": 0}, "merges": [["a", "b"]]})", R"({"vocab": {"a": 0}, "merges": [3]})",
        R"({"vocab": {"a": 0}, "merges": {}})",
        R"({"vocab": {"a": 0}, "merges": [], "unk_token": "<unk>"})",
        R"({"vocab": {"a": 0}, "merges": [], "byte_fallback": 1})"}) {
    EXPECT_THROW(model_of(json), FormatError) << json;
  }
}

}  // namespace
}  // namespace gridmill::tokenizer_detail
