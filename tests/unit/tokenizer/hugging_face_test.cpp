#include <gtest/gtest.h>

#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/tokenizer/tokenizer.hpp"

namespace gridmill {
namespace {

using Ids = std::vector<TokenId>;

const Json kLlama3 =
    parse_json(read_text_file(GRIDMILL_TEST_DATA "/tokenizer/llama3-style/tokenizer.json"), "test");

// A small tokenizer over a, b and ab; `changes` are merged into it (null removes).
std::unique_ptr<Tokenizer> small(const std::string& changes) {
  Json root = parse_json(R"({
    "version": "1.0", "truncation": null, "padding": null,
    "added_tokens": [{"id": 3, "content": "<s>", "special": true, "normalized": false},
                     {"id": 4, "content": "<x>", "special": false, "normalized": false}],
    "normalizer": null, "pre_tokenizer": null, "post_processor": null,
    "decoder": {"type": "ByteLevel"},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}})",
                         "test");
  root.merge_patch(parse_json(changes, "test"));
  return make_tokenizer(root.dump(), "test.json");
}

void expect_unsupported(const std::string& changes) {
  try {
    small(changes);
    ADD_FAILURE() << changes << " was accepted";
  } catch (const FormatError& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find("unsupported"), std::string::npos) << message;
    EXPECT_EQ(message.rfind("test.json", 0), 0U) << message;
  }
}

constexpr const char* kTemplate = R"({"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "E"}}],
    "special_tokens": {"<s>": {"ids": [3]}, "E": {"ids": [4, 3]}}})";

TEST(HuggingFaceFile, AddedTokensAreFoundInTheText) {
  EXPECT_EQ(small("{}")->encode("ab<s>a<x>", false), (Ids{2, 3, 0, 4}));
}

TEST(HuggingFaceFile, TheNormalizerSeesEachStretchByItself) {
  EXPECT_EQ(small(R"({"normalizer": {"type": "Prepend", "prepend": "a"}})")->encode("b<s>b", false),
            (Ids{2, 3, 2}));
}

TEST(HuggingFaceFile, ANormalizedAddedTokenIsSearchedInNormalizedText) {
  const auto tokenizer = small(R"({"normalizer": {"type": "NFC"}, "added_tokens": [
      {"id": 3, "content": "\u00e9", "normalized": true, "special": false},
      {"id": 4, "content": "\u00e8", "normalized": false, "special": false}]})");
  EXPECT_EQ(tokenizer->encode("ae\u0301b", false), (Ids{0, 3, 1}));
  EXPECT_THROW(static_cast<void>(tokenizer->encode("ae\u0300b", false)), FormatError);
}

TEST(HuggingFaceFile, TheTemplateAddsSpecialTokensWhenAsked) {
  const std::string post = kTemplate;
  for (const std::string& changes :
       {R"({"post_processor": )" + post + "}",
        R"({"post_processor": {"type": "Sequence", "processors": [{"type": "ByteLevel"}, )" + post +
            "]}}"}) {
    const auto tokenizer = small(changes);
    EXPECT_EQ(tokenizer->encode("ab", true), (Ids{3, 2, 4, 3}));
    EXPECT_EQ(tokenizer->encode("ab", false), (Ids{2}));
    EXPECT_EQ(tokenizer->encode("", true), (Ids{3, 4, 3}));
    EXPECT_EQ(tokenizer->bos(), 3);
  }
}

TEST(HuggingFaceFile, SkippingLeavesOutSpecialTokensOnly) {
  const auto tokenizer = small("{}");
  EXPECT_EQ(tokenizer->decode(Ids{3, 2, 4}, true), "ab<x>");
  EXPECT_EQ(tokenizer->decode(Ids{3, 2, 4}, false), "<s>ab<x>");
}

TEST(HuggingFaceFile, AnAddedTokenMayRepeatAnEntryOfTheVocabulary) {
  const auto tokenizer =
      small(R"({"added_tokens": [{"id": 2, "content": "ab", "special": true}]})");
  EXPECT_EQ(tokenizer->encode("aab", false), (Ids{0, 2}));
  EXPECT_EQ(tokenizer->decode(Ids{0, 2}, true), "a");
}

TEST(HuggingFaceFile, TruncationAndPaddingAreIgnored) {
  const auto tokenizer = small(R"({"truncation": {"max_length": 1, "stride": 0},
                                   "padding": {"strategy": {"Fixed": 5}, "pad_id": 0}})");
  EXPECT_EQ(tokenizer->encode("abab", false), (Ids{2, 2}));
}

TEST(HuggingFaceFile, MetaspaceMarksTheFirstStretchOnly) {
  const std::string metaspace = R"({"type": "Metaspace", "replacement": "_", "split": false,
                                     "prepend_scheme": "first"})";
  const auto tokenizer = small(R"({"pre_tokenizer": )" + metaspace + R"(, "decoder": )" +
                               metaspace + R"(, "model": {"vocab": {"_": 5}}})");
  EXPECT_EQ(tokenizer->encode("a<x>b", false), (Ids{5, 0, 4, 1}));
  EXPECT_EQ(tokenizer->encode("<x>b", false), (Ids{4, 1}));
  EXPECT_EQ(tokenizer->encode(" a", false), (Ids{5, 0}));
  EXPECT_EQ(tokenizer->decode(Ids{5, 0, 5, 1}, false), "a b");
  EXPECT_EQ(tokenizer->decode(Ids{3, 5, 0}, true), "a") << "the first token that is kept";
  EXPECT_EQ(tokenizer->decode(Ids{3, 5, 0}, false), "<s> a");
}

std::unique_ptr<Tokenizer> unigram(const std::string& vocab, const std::string& rest) {
  return make_tokenizer(R"({"decoder": {"type": "Fuse"}, "model": {"type": "Unigram", "vocab": )" +
                            vocab + rest + "}}",
                        "test.json");
}

TEST(HuggingFaceFile, UnigramTakesTheLargestSum) {
  const std::string vocab =
      R"([["<unk>", 0], ["a", -1], ["b", -1], ["ab", -3], ["abc", -1.5], ["c", -1]])";
  const auto tokenizer = unigram(vocab, R"(, "unk_id": 0)");
  EXPECT_EQ(tokenizer->encode("ab", false), (Ids{1, 2}));
  EXPECT_EQ(tokenizer->encode("abcb", false), (Ids{4, 2}));
  EXPECT_EQ(tokenizer->encode("axyb", false), (Ids{1, 0, 2})) << "unknown neighbours are one";
  EXPECT_EQ(tokenizer->encode("a<unk>x", false), (Ids{1, 0}));
}

TEST(HuggingFaceFile, UnigramFallsBackToBytesIfAllExist) {
  const std::string vocab = R"([["<unk>", 0], ["a", -1], ["<0x78>", 0], ["<0x79>", 0]])";
  const auto tokenizer = unigram(vocab, R"(, "unk_id": 0, "byte_fallback": true)");
  EXPECT_EQ(tokenizer->encode("axya", false), (Ids{1, 2, 3, 1}));
  EXPECT_EQ(tokenizer->encode("axz", false), (Ids{1, 0})) << "z has no byte token";
}

TEST(HuggingFaceFile, UnigramWithoutUnknownTokenNamesTheCharacter) {
  const auto tokenizer = unigram(R"([["a", -1]])", "");
  EXPECT_EQ(tokenizer->encode("aa", false), (Ids{0, 0}));
  EXPECT_THROW(static_cast<void>(tokenizer->encode("ax", false)), FormatError);
}

TEST(HuggingFaceFile, RefusesABadUnigramVocabulary) {
  for (const char* vocab : {"[]", R"([["a"]])", R"([["a", "b"]])", R"([[1, 0]])", R"({"a": 0})",
                            R"([["a", 0], 3])", "3"}) {
    EXPECT_THROW(unigram(vocab, ""), FormatError) << vocab;
  }
  EXPECT_THROW(unigram(R"([["a", 0]])", R"(, "unk_id": 1)"), FormatError);
}

TEST(HuggingFaceFile, UnknownComponentsAreUnsupported) {
  expect_unsupported(R"({"version": "2.0"})");
  expect_unsupported(R"({"normalizer": {"type": "Lowercase"}})");
  expect_unsupported(R"({"pre_tokenizer": {"type": "BertPreTokenizer"}})");
  expect_unsupported(R"({"decoder": {"type": "WordPiece"}})");
  expect_unsupported(R"({"decoder": null})");
  expect_unsupported(R"({"model": {"type": "WordPiece"}})");
  expect_unsupported(R"({"model": {"dropout": 0.5}})");
  expect_unsupported(R"({"post_processor": {"type": "BertProcessing"}})");
  expect_unsupported(R"({"post_processor": {"type": "TemplateProcessing", "special_tokens": {},
                         "single": [{"Sequence": {"id": "B"}}]}})");
  expect_unsupported(R"({"post_processor": {"type": "TemplateProcessing", "special_tokens": {},
                         "single": []}})");
}

TEST(HuggingFaceFile, RefusesContradictingIds) {
  EXPECT_THROW(small(R"({"model": {"vocab": {"c": 1}}})"), FormatError);
  EXPECT_THROW(small(R"({"added_tokens": [{"id": 0, "content": "<s>"}]})"), FormatError);
  EXPECT_THROW(small(R"({"added_tokens": [{"id": 9, "content": "ab"}]})"), FormatError);
  EXPECT_THROW(small(R"({"added_tokens": [{"id": 9, "content": "x"}, {"id": 8, "content": "x"}]})"),
               FormatError);
  EXPECT_THROW(small(R"({"post_processor": {"type": "TemplateProcessing",
                         "special_tokens": {"<s>": {"ids": [5]}},
                         "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}]}})"),
               FormatError);
}

TEST(HuggingFaceFile, RefusesTextThatIsNoTokenizer) {
  for (const char* text :
       {"", "{", "[]", "3", "null", "{}", R"({"model": 3})", R"({"a": 1e999})",
        R"({"model": {"vocab": {}, "merges": []}, "decoder": {"type": "ByteLevel"}})"}) {
    EXPECT_THROW(static_cast<void>(make_tokenizer(text, "test.json")), FormatError) << text;
  }
  const std::string deep(200'000, '[');
  EXPECT_THROW(static_cast<void>(make_tokenizer(deep, "test.json")), FormatError);
}

// Every member of a real file, one after the other, replaced by values of other types.
TEST(HuggingFaceFile, ValuesOfAnyTypeEndInAnErrorOrATokenizer) {
  const std::vector<Json> values = {nullptr,
                                    7,
                                    -1,
                                    1.5,
                                    true,
                                    "text",
                                    Json::array(),
                                    Json::object(),
                                    Json::array({1, "a", nullptr})};
  const auto expect_safe = [](const Json& root) {
    try {
      const auto tokenizer = make_tokenizer(root.dump(), "test.json");
      static_cast<void>(tokenizer->decode(tokenizer->encode("Hello w\u00F6rld 123", true), true));
    } catch (const FormatError&) {
      // as promised
    }
  };
  Json small_file = kLlama3;  // bytes and a few merges will do
  small_file["model"]["merges"] = Json::array({"t h", "th e"});
  for (const auto& [token, id] : kLlama3["model"]["vocab"].items()) {
    if (id > 260 && token != "th" && token != "the") small_file["model"]["vocab"].erase(token);
  }
  const Json flat = small_file.flatten();
  std::vector<Json::json_pointer> places = {Json::json_pointer("/model/vocab"),
                                            Json::json_pointer("/model/merges"),
                                            Json::json_pointer("/added_tokens")};
  for (const auto& [path, value] : flat.items()) {
    const bool repeats = path.starts_with("/model/vocab/") || path.starts_with("/model/merges/");
    for (std::size_t slash = path.find('/', 1); !repeats && slash != std::string::npos;
         slash = path.find('/', slash + 1)) {
      places.emplace_back(path.substr(0, slash));
    }
    if (!repeats) places.emplace_back(path);
  }
  EXPECT_GT(places.size(), 100U);
  for (const Json::json_pointer& place : places) {
    for (const Json& value : values) {
      Json changed = small_file;
      changed[place] = value;
      SCOPED_TRACE(place.to_string() + " = " + value.dump());
      expect_safe(changed);
    }
  }
}

}  // namespace
}  // namespace gridmill
