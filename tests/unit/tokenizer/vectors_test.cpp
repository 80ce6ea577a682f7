#include "unit/tokenizer/vectors.hpp"

namespace gridmill {
namespace {

const std::string kData = GRIDMILL_TEST_DATA "/tokenizer/";
const std::string kModels = GRIDMILL_MODELS_DIR "/";

TEST(TokenizerVectors, TinyXlstmShakespeareAgreesWithTheReference) {
  const auto tokenizer = tokenizer_of(kModels + "tiny-xlstm-shakespeare/tokenizer.json");
  expect_all_vectors(*tokenizer, kData + "tiny-xlstm-shakespeare.jsonl");
  EXPECT_EQ(tokenizer->vocab_size(), 512);
}

TEST(TokenizerVectors, Llama3StyleAgreesWithTheReference) {
  const auto tokenizer = tokenizer_of(kData + "llama3-style/tokenizer.json");
  expect_all_vectors(*tokenizer, kData + "llama3-style.jsonl");
  EXPECT_EQ(tokenizer->bos(), 0);
}

TEST(TokenizerVectors, Qwen2StyleAgreesWithTheReference) {
  const auto tokenizer = tokenizer_of(kData + "qwen2-style/tokenizer.json");
  expect_all_vectors(*tokenizer, kData + "qwen2-style.jsonl");
  EXPECT_EQ(tokenizer->bos(), std::nullopt);
}

TEST(TokenizerVectors, Stories260KAgreesWithTheReference) {
  const auto tokenizer = tokenizer_of(kData + "stories260K-hf/tokenizer.json");
  expect_all_vectors(*tokenizer, kData + "stories260K-hf.jsonl");
  EXPECT_EQ(tokenizer->bos(), 1);
}

// Three files hold one vocabulary. They differ on purpose where a text spells a special token:
// SentencePiece and llama2.c take `<s>` for three characters, tokenizer.json for token 1.
TEST(TokenizerVectors, ThreeSpellingsOfStories260KGiveTheSameIds) {
  const auto hugging_face = tokenizer_of(kData + "stories260K-hf/tokenizer.json");
  const auto sentencepiece = tokenizer_of(kData + "stories260K-hf/tokenizer.model");
  const auto llama2c = tokenizer_of(kModels + "stories260K/tok512.bin");
  for (const Json& vector : vectors_of(kData + "stories260K-hf.jsonl")) {
    if (vector.at("kind") != "encode") continue;
    SCOPED_TRACE(vector.dump().substr(0, 500));
    const auto text = vector.at("text").get<std::string>();
    EXPECT_EQ(sentencepiece->encode(text, true), hugging_face->encode(text, true));
    EXPECT_EQ(llama2c->encode(text, true), hugging_face->encode(text, true));
  }
}

TEST(TokenizerVectors, TwoSpellingsOfStories260KGiveTheSameText) {
  const auto hugging_face = tokenizer_of(kData + "stories260K-hf/tokenizer.json");
  const auto sentencepiece = tokenizer_of(kData + "stories260K-hf/tokenizer.model");
  for (const Json& vector : vectors_of(kData + "stories260K-hf.jsonl")) {
    SCOPED_TRACE(vector.dump().substr(0, 500));
    const auto ids = vector.at("ids").get<std::vector<TokenId>>();
    EXPECT_EQ(sentencepiece->decode(ids, false), hugging_face->decode(ids, false));
    EXPECT_EQ(sentencepiece->decode(ids, true), hugging_face->decode(ids, true));
    EXPECT_EQ(sentencepiece->decode_bytes(ids, true), hugging_face->decode_bytes(ids, true));
  }
}

class ThinnedVectors : public testing::TestWithParam<std::string> {};

TEST_P(ThinnedVectors, AgreeWithTheReference) {
  const auto tokenizer = tokenizer_of(kData + GetParam() + "/tokenizer.json");
  expect_all_vectors(*tokenizer, kData + GetParam() + ".jsonl");
}

INSTANTIATE_TEST_SUITE_P(Structures, ThinnedVectors,
                         testing::Values("metaspace-first", "falcon-style", "bloom-style",
                                         "unigram-bytes", "unigram-rules", "truncation-padding"),
                         [](const testing::TestParamInfo<std::string>& name) {
                           std::string result = name.param;
                           std::erase(result, '-');
                           return result;
                         });

class SentencePieceVectors : public testing::TestWithParam<std::string> {};

TEST_P(SentencePieceVectors, EncodeAsSentencePieceDoes) {
  const auto tokenizer = tokenizer_of(kData + GetParam() + "/tokenizer.model");
  for (const Json& vector : vectors_of(kData + GetParam() + ".jsonl")) {
    SCOPED_TRACE(vector.dump());
    EXPECT_EQ(tokenizer->encode(vector.at("text").get<std::string>(), false),
              vector.at("ids").get<std::vector<TokenId>>());
  }
}

INSTANTIATE_TEST_SUITE_P(Models, SentencePieceVectors,
                         testing::Values("sentencepiece-unigram", "sentencepiece-unigram-bytes",
                                         "sentencepiece-bpe-rules"),
                         [](const testing::TestParamInfo<std::string>& name) {
                           std::string result = name.param;
                           std::erase(result, '-');
                           return result;
                         });

}  // namespace
}  // namespace gridmill
