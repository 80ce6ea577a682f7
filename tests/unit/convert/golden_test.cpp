#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "convert/safetensors_detail.hpp"
#include "convert/xlstm_jax_detail.hpp"
#include "unit/convert/support.hpp"

namespace gridmill {
namespace {

using convert_detail::ForeignTensors;
using test::stored_values;
using test::TemporaryFolder;

const std::string kGolden = GRIDMILL_GOLDEN_DIR;

/// Every number of the source, sorted.
std::vector<float> sorted_source(const ForeignTensors& tensors) {
  std::vector<float> all;
  for (const std::string& name : tensors.unused()) {  // nobody has used any
    const convert_detail::ForeignTensor& tensor = *tensors.find(name);
    std::vector<float> values(
        static_cast<std::size_t>(convert_detail::element_count(tensor.shape())));
    tensor.read(0, values);
    all.insert(all.end(), values.begin(), values.end());
  }
  std::sort(all.begin(), all.end());
  return all;
}
/// Every number of the checkpoint, sorted.
std::vector<float> sorted_checkpoint(const CheckpointFile& file) {
  std::vector<float> all;
  for (const StoredParameter& parameter : file.parameters()) {
    const std::vector<float> values = stored_values(file, parameter.spec.name);
    all.insert(all.end(), values.begin(), values.end());
  }
  std::sort(all.begin(), all.end());
  return all;
}

class GoldenCase : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (kGolden.empty()) GTEST_SKIP() << "needs the golden data (GRIDMILL_GOLDEN_DIR)";
  }
  CheckpointFile converted(const std::string& source) {
    convert({.source = source, .destination = folder_.file("m.h5")});
    return CheckpointFile::open(folder_.file("m.h5"));
  }
  TemporaryFolder folder_;
};

class GoldenHuggingFace : public GoldenCase {};
INSTANTIATE_TEST_SUITE_P(Cases, GoldenHuggingFace,
                         testing::Values("llama_gqa", "llama_linear_rope_v4cfg",
                                         "llama_rope3_bias_tied", "mistral_window8",
                                         "qwen2_bias_tied", "qwen3_qknorm", "smollm_like",
                                         "xlstm_bf16_sharded", "xlstm_bias_caps",
                                         "xlstm_dims_not_64", "xlstm_fused", "xlstm_single"));

TEST_P(GoldenHuggingFace, ConvertsWithoutLosingOrInventingANumber) {
  const std::string source = kGolden + "/hf/" + GetParam();
  ForeignTensors tensors;
  convert_detail::ModelFolder folder(source);
  convert_detail::add_safetensors_folder(folder, tensors);
  EXPECT_EQ(sorted_checkpoint(converted(source)), sorted_source(tensors));
}

class GoldenXlstmJax : public GoldenCase {};
INSTANTIATE_TEST_SUITE_P(Cases, GoldenXlstmJax,
                         testing::Values("llama_blocks", "llama_scan", "xlstm_v1_bf16",
                                         "xlstm_v1_blocks", "xlstm_v1_scan"));

TEST_P(GoldenXlstmJax, ConvertsWithoutLosingOrInventingANumber) {
  const std::string source = kGolden + "/xlstm-jax/" + GetParam() + ".h5";
  ForeignTensors tensors;
  convert_detail::add_flax_parameters(h5::File::open(source), tensors);
  EXPECT_EQ(sorted_checkpoint(converted(source)), sorted_source(tensors));
}

class GoldenOlderLayer : public GoldenCase {};
INSTANTIATE_TEST_SUITE_P(Cases, GoldenOlderLayer, testing::Values("xlstm_v0_conv"));

TEST_P(GoldenOlderLayer, LosesOnlyTheTapsThatOneTokenNeverMeets) {
  const std::string source = kGolden + "/xlstm-jax/" + GetParam() + ".h5";
  ForeignTensors tensors;
  convert_detail::add_flax_parameters(h5::File::open(source), tensors);
  const CheckpointFile file = converted(source);
  constexpr std::size_t kLayers = 2, kInner = 64, kLostTaps = 3;
  EXPECT_EQ(sorted_checkpoint(file).size() + kLayers * kInner * kLostTaps,
            sorted_source(tensors).size());
}

class GoldenStories : public GoldenCase {};
INSTANTIATE_TEST_SUITE_P(Cases, GoldenStories, testing::Values("stories260K-hf"));

TEST_P(GoldenStories, TheLlama2cFileAndItsHuggingFaceFormGiveTheSameParameters) {
  const std::string source = kGolden + "/../models/" + GetParam();
  if (!std::filesystem::exists(source)) GTEST_SKIP() << "needs the model " << source;
  const CheckpointFile hugging_face = converted(source);
  convert({.source = GRIDMILL_MODELS_DIR "/stories260K/stories260K.bin",
           .destination = folder_.file("llama2c.h5")});
  const CheckpointFile llama2c = CheckpointFile::open(folder_.file("llama2c.h5"));
  ASSERT_EQ(llama2c.parameters().size(), hugging_face.parameters().size());
  for (const StoredParameter& parameter : llama2c.parameters()) {
    EXPECT_EQ(stored_values(llama2c, parameter.spec.name),
              stored_values(hugging_face, parameter.spec.name))
        << parameter.spec.name;
  }
}

}  // namespace
}  // namespace gridmill
