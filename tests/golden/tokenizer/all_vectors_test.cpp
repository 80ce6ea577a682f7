#include <filesystem>

#include "unit/tokenizer/vectors.hpp"

namespace gridmill {
namespace {

struct GoldenTokenizer {
  std::string name;
  std::string file;  // below the folder `models` next to the golden data
};

class AllTokenizerVectors : public testing::TestWithParam<GoldenTokenizer> {};

TEST_P(AllTokenizerVectors, AgreeWithTheReference) {
  const std::string golden = GRIDMILL_GOLDEN_DIR;
  if (golden.empty()) GTEST_SKIP() << "needs GRIDMILL_GOLDEN_DIR with the full golden data";
  const std::string file = golden + "/../models/" + GetParam().file;
  if (!std::filesystem::exists(file)) GTEST_SKIP() << "needs " << file;
  expect_all_vectors(*tokenizer_of(file), golden + "/tokenizer/" + GetParam().name + ".jsonl");
}

INSTANTIATE_TEST_SUITE_P(
    Golden, AllTokenizerVectors,
    testing::Values(
        GoldenTokenizer{"gpt-2", "tokenizers/gpt-2/tokenizer.json"},
        GoldenTokenizer{"gpt-neox", "tokenizers/gpt-neox/tokenizer.json"},
        GoldenTokenizer{"llama3-style", "tokenizers/llama3-style/tokenizer.json"},
        GoldenTokenizer{"qwen2-style", "tokenizers/qwen2-style/tokenizer.json"},
        GoldenTokenizer{"metaspace-first", "tokenizers/metaspace-first/tokenizer.json"},
        GoldenTokenizer{"falcon-style", "tokenizers/falcon-style/tokenizer.json"},
        GoldenTokenizer{"bloom-style", "tokenizers/bloom-style/tokenizer.json"},
        GoldenTokenizer{"unigram-bytes", "tokenizers/unigram-bytes/tokenizer.json"},
        GoldenTokenizer{"unigram-t5", "tokenizers/unigram-t5/tokenizer.json"},
        GoldenTokenizer{"truncation-padding", "tokenizers/truncation-padding/tokenizer.json"},
        GoldenTokenizer{"stories260K-hf", "stories260K-hf/tokenizer.json"},
        GoldenTokenizer{"tiny-xlstm-shakespeare", "tiny-xlstm-shakespeare/tokenizer.json"}),
    [](const testing::TestParamInfo<GoldenTokenizer>& golden) {
      std::string name = golden.param.name;
      std::erase(name, '-');
      return name;
    });

}  // namespace
}  // namespace gridmill
