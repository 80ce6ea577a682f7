#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "unit/convert/flax_support.hpp"
#include "unit/convert/support.hpp"

namespace gridmill {
namespace {

using test::contains_all;
using test::convert_outcome;
using test::FlaxFile;
using test::Outcome;
using test::part_of;
using test::stored_values;
using test::TemporaryFolder;
using test::transposed;

constexpr std::int64_t kD = 8, kHeads = 2, kHeadDim = 4, kF = 16, kVocab = 10, kLayers = 2;

FlaxFile tiny_llama(bool scanned) {
  FlaxFile file;
  file.model_class = "LlamaConfig";
  file.config = {{"vocab_size", kVocab},    {"embedding_dim", kD},  {"num_blocks", kLayers},
                 {"head_dim", kHeadDim},    {"qk_norm", true},      {"use_bias", true},
                 {"scan_blocks", scanned},  {"ffn_multiple_of", 4}, {"ffn_dim_multiplier", 0.7},
                 {"logits_soft_cap", 20.0}, {"theta", 5000.0},      {"dtype", "float32"}};
  file.add("token_embedding/sharded/embedding", {1, kVocab, kD});
  for (std::int64_t layer = 0; layer < (scanned ? 1 : kLayers); ++layer) {
    const std::string block =
        scanned ? "block_stack/block/" : "block_stack/block_" + std::to_string(layer) + "/";
    const auto add = [&](const std::string& name, std::vector<std::int64_t> shape) {
      if (scanned) shape.insert(shape.begin(), kLayers);
      file.add(block + name, shape);
    };
    for (const char* name : {"dense_q", "dense_k", "dense_v"}) {
      add(std::string("attn/attn/") + name + "/kernel", {kD, kHeads, kHeadDim});
      add(std::string("attn/attn/") + name + "/bias", {kHeads, kHeadDim});
    }
    add("attn/attn/dense_out/kernel", {kHeads, kHeadDim, kD});
    add("attn/attn/dense_out/bias", {kD});
    add("attn/attn/q_norm/scale", {kHeadDim});
    add("attn/attn/k_norm/scale", {kHeadDim});
    add("attn/pre_norm/scale", {kD});
    add("ffn/pre_norm/scale", {kD});
    add("ffn/ffn/proj_up/kernel", {kD, kF});
    add("ffn/ffn/proj_up/bias", {kF});
    add("ffn/ffn/proj_up_gate/kernel", {kD, kF});
    add("ffn/ffn/proj_up_gate/bias", {kF});
    add("ffn/ffn/proj_down/kernel", {kF, kD});
    add("ffn/ffn/proj_down/bias", {kD});
  }
  file.add("lm_head/out_norm/scale", {kD});
  file.add("lm_head/out_dense/kernel", {kD, kVocab});
  return file;
}

/// Rows of `width` elements whose heads of four rows hold interleaved pairs, put in halves.
std::vector<float> half_split(const std::vector<float>& rows, std::size_t width) {
  std::vector<float> result;
  const std::size_t head_size = static_cast<std::size_t>(kHeadDim) * width;
  for (std::size_t head = 0; head < rows.size() / head_size; ++head) {
    for (const std::size_t row : {0, 2, 1, 3}) {
      const auto start = rows.begin() + static_cast<std::ptrdiff_t>(head * head_size + row * width);
      result.insert(result.end(), start, start + static_cast<std::ptrdiff_t>(width));
    }
  }
  return result;
}

class FlaxLlama : public testing::TestWithParam<bool> {
 protected:
  CheckpointFile converted(const FlaxFile& flax) {
    flax.write(folder_.file("params.h5"));
    convert({.source = folder_.file("params.h5"), .destination = folder_.file("m.h5")});
    return CheckpointFile::open(folder_.file("m.h5"));
  }
  /// Array `name` of layer `layer`.
  static std::vector<float> layer_values(const FlaxFile& flax, int layer, const std::string& name) {
    if (!GetParam()) {
      return flax.values("block_stack/block_" + std::to_string(layer) + "/" + name);
    }
    return part_of(flax.values("block_stack/block/" + name), kLayers,
                   static_cast<std::size_t>(layer));
  }
  TemporaryFolder folder_;
};
INSTANTIATE_TEST_SUITE_P(BlocksAndScan, FlaxLlama, testing::Bool());

TEST_P(FlaxLlama, KernelsAreTurnedAndRotaryPairsReordered) {
  const FlaxFile flax = tiny_llama(GetParam());
  const CheckpointFile file = converted(flax);
  for (int layer = 0; layer < kLayers; ++layer) {
    const std::string prefix = "layers." + std::to_string(layer) + ".";
    for (const std::string name : {"q", "k"}) {
      const std::string dense = "attn/attn/dense_" + name;
      EXPECT_EQ(stored_values(file, prefix + name),
                half_split(transposed(layer_values(flax, layer, dense + "/kernel"), kD), kD));
      EXPECT_EQ(stored_values(file, prefix + name + "_bias"),
                half_split(layer_values(flax, layer, dense + "/bias"), 1));
      EXPECT_EQ(stored_values(file, prefix + name + "_norm"),
                half_split(layer_values(flax, layer, "attn/attn/" + name + "_norm/scale"), 1));
    }
    EXPECT_EQ(stored_values(file, prefix + "v"),
              transposed(layer_values(flax, layer, "attn/attn/dense_v/kernel"), kD));
    EXPECT_EQ(stored_values(file, prefix + "v_bias"),
              layer_values(flax, layer, "attn/attn/dense_v/bias"));
    EXPECT_EQ(stored_values(file, prefix + "o"),
              transposed(layer_values(flax, layer, "attn/attn/dense_out/kernel"), kD));
    EXPECT_EQ(stored_values(file, prefix + "o_bias"),
              layer_values(flax, layer, "attn/attn/dense_out/bias"));
    EXPECT_EQ(stored_values(file, prefix + "attention_norm"),
              layer_values(flax, layer, "attn/pre_norm/scale"));
    EXPECT_EQ(stored_values(file, prefix + "ffn_norm"),
              layer_values(flax, layer, "ffn/pre_norm/scale"));
    EXPECT_EQ(stored_values(file, prefix + "gate"),
              transposed(layer_values(flax, layer, "ffn/ffn/proj_up_gate/kernel"), kD));
    EXPECT_EQ(stored_values(file, prefix + "up_bias"),
              layer_values(flax, layer, "ffn/ffn/proj_up/bias"));
    EXPECT_EQ(stored_values(file, prefix + "down"),
              transposed(layer_values(flax, layer, "ffn/ffn/proj_down/kernel"), kF));
  }
  EXPECT_EQ(stored_values(file, "embedding"), flax.values("token_embedding/sharded/embedding"));
  EXPECT_EQ(stored_values(file, "final_norm"), flax.values("lm_head/out_norm/scale"));
  EXPECT_EQ(stored_values(file, "head"), transposed(flax.values("lm_head/out_dense/kernel"), kD));
}

TEST_P(FlaxLlama, TheConfigurationNamesWhatIsPeculiar) {
  const Json model = converted(tiny_llama(GetParam())).model();
  // trunc(8 * 8 / 3) = 21, trunc(21 * 0.7) = 14, next multiple of 4: 16
  EXPECT_EQ(model.at("intermediate_size"), kF);
  EXPECT_EQ(model.at("heads"), kHeads);
  EXPECT_EQ(model.at("score_scale"), 1 / std::sqrt(2.0));
  EXPECT_EQ(model.at("generation_attention"), "self_only");
  EXPECT_EQ(model.at("rotary"), Json({{"type", "default"}, {"theta", 5000.0}}));
  EXPECT_EQ(model.at("logit_soft_cap"), 20.0);
  EXPECT_EQ(model.at("bos_id"), -1);
}

TEST_P(FlaxLlama, AttentionInBothDirectionsIsUnsupported) {
  FlaxFile flax = tiny_llama(GetParam());
  flax.config["causal"] = false;
  flax.write(folder_.file("params.h5"));
  const Outcome outcome =
      convert_outcome({.source = folder_.file("params.h5"), .destination = folder_.file("m.h5")});
  EXPECT_EQ(outcome.code, ExitCode::bad_input);
  EXPECT_TRUE(contains_all(outcome.message, {"params.h5", "causal", "unsupported"}))
      << outcome.message;
}

TEST_P(FlaxLlama, AMissingOrMisshapenArrayIsNamed) {
  FlaxFile flax = tiny_llama(GetParam());
  flax.remove("lm_head/out_norm/scale");
  flax.write(folder_.file("params.h5"));
  const ConvertOptions options{.source = folder_.file("params.h5"),
                               .destination = folder_.file("m.h5")};
  EXPECT_TRUE(contains_all(convert_outcome(options).message,
                           {"params.h5", "lm_head/out_norm/scale", "[8]", "missing"}));
  flax.add("lm_head/out_norm/scale", {kD, 1});
  flax.write(folder_.file("params.h5"));
  EXPECT_TRUE(contains_all(convert_outcome(options).message,
                           {"lm_head/out_norm/scale", "[8, 1]", "expected [8]"}));
}

TEST(FlaxFileKinds, ChunkedAndCompressedDatasetsAreRead) {
  const TemporaryFolder folder;
  convert({.source = GRIDMILL_TEST_DATA "/convert/flax_chunked.h5",
           .destination = folder.file("chunked.h5")});
  const CheckpointFile chunked = CheckpointFile::open(folder.file("chunked.h5"));
  tiny_llama(true).write(folder.file("params.h5"));
  convert({.source = folder.file("params.h5"), .destination = folder.file("plain.h5")});
  EXPECT_EQ(chunked.hash(), CheckpointFile::open(folder.file("plain.h5")).hash());
}

TEST(FlaxFileKinds, OtherHdf5FilesAreRefused) {
  const TemporaryFolder folder;
  const ConvertOptions options{.source = folder.file("p.h5"), .destination = folder.file("m.h5")};
  {
    h5::File file = h5::File::create(folder.file("p.h5"));
    file.close();
  }
  Outcome outcome = convert_outcome(options);
  EXPECT_EQ(outcome.code, ExitCode::bad_input);
  EXPECT_TRUE(contains_all(outcome.message, {"p.h5", "config", "/params"})) << outcome.message;

  FlaxFile other = tiny_llama(false);
  other.model_class = "ResNet";
  other.write(folder.file("p.h5"));
  outcome = convert_outcome(options);
  EXPECT_EQ(outcome.code, ExitCode::bad_input);
  EXPECT_TRUE(contains_all(outcome.message, {"ResNet", "unsupported"})) << outcome.message;

  FlaxFile bare = tiny_llama(false);
  bare.arrays.clear();
  bare.write(folder.file("p.h5"));
  EXPECT_TRUE(contains_all(convert_outcome(options).message, {"p.h5", "/params", "missing"}));
}

TEST(FlaxFileKinds, ACheckpointOfOursIsNoSource) {
  const TemporaryFolder folder;
  tiny_llama(false).write(folder.file("p.h5"));
  convert({.source = folder.file("p.h5"), .destination = folder.file("m.h5")});
  const Outcome outcome =
      convert_outcome({.source = folder.file("m.h5"), .destination = folder.file("again.h5")});
  EXPECT_EQ(outcome.code, ExitCode::bad_input);
  EXPECT_TRUE(contains_all(outcome.message, {"gridmill-checkpoint"})) << outcome.message;
}

}  // namespace
}  // namespace gridmill
