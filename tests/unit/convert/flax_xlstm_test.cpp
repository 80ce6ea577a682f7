#include <gtest/gtest.h>

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

constexpr std::int64_t kD = 8, kHeads = 2, kQk = 4, kV = 8, kF = 64, kI = 64, kVocab = 10,
                       kLayers = 2;
const std::string kBlocks = "xlstm_block_stack/blocks/";
const std::string kLayer = "xlstm_res_block/xlstm/";
const std::string kInner = kLayer + "inner_layer/sharded/";

Json config_of(const std::string& layer_type, bool scanned) {
  const Json cell = {{"norm_eps", 1e-5},
                     {"norm_type", "rmsnorm"},
                     {"norm_type_v1", "layernorm"},
                     {"gate_soft_cap", 15.0},
                     {"add_qk_norm", true},
                     {"backend", {{"name", "recurrent"}, {"kwargs", {{"eps", 1e-4}}}}}};
  const Json layer = {{"layer_type", layer_type}, {"num_heads", kHeads}, {"qk_dim_factor", 0.5},
                      {"v_dim_factor", 1.0},      {"proj_factor", 2.0},  {"conv1d_kernel_size", 3},
                      {"qkv_proj_blocksize", 4},  {"bias", false},       {"mlstm_cell", cell}};
  const Json ffn = {
      {"proj_factor", 2.667}, {"act_fn", "relu^2"}, {"ff_type", "ffn_gated"}, {"bias", false}};
  return {{"mlstm_block", {{"mlstm", layer}, {"feedforward", ffn}, {"add_post_norm", true}}},
          {"slstm_block", "None"},
          {"slstm_at", Json::array()},
          {"num_blocks", kLayers},
          {"embedding_dim", kD},
          {"scan_blocks", scanned},
          {"vocab_size", kVocab},
          {"norm_eps", 1e-6},
          {"norm_type", "rmsnorm"},
          {"logits_soft_cap", 30.0}};
}

/// Adds arrays to all blocks, with a leading block axis if scanned.
class Blocks {
 public:
  Blocks(FlaxFile& file, bool scanned) : file_(file), scanned_(scanned) {}
  void add(const std::string& name, const std::vector<std::int64_t>& shape) {
    for (std::int64_t layer = 0; layer < (scanned_ ? 1 : kLayers); ++layer) {
      std::vector<std::int64_t> stacked = shape;
      if (scanned_) stacked.insert(stacked.begin(), kLayers);
      file_.add(kBlocks + (scanned_ ? "block" : std::to_string(layer)) + "/" + name, stacked);
    }
  }
  /// A dense layer of `parts` tensor-parallel parts of outputs (or inputs); 0 = no tensor axis.
  void dense(const std::string& name, std::int64_t inputs, std::int64_t outputs, std::int64_t parts,
             bool split_inputs = false) {
    if (parts == 0) {
      add(name + "/Dense_0/kernel", {inputs, outputs});
    } else if (split_inputs) {
      add(name + "/module/sharded/kernel", {parts, inputs / parts, outputs});
    } else {
      add(name + "/module/sharded/kernel", {parts, inputs, outputs / parts});
    }
  }
  void bias(const std::string& name, std::int64_t outputs, std::int64_t parts) {
    if (parts == 0) {
      add(name + "/Dense_0/bias", {outputs});
    } else {
      add(name + "/module/sharded/bias", {parts, outputs / parts});
    }
  }

 private:
  FlaxFile& file_;
  bool scanned_;
};

/// @param parts  tensor-parallel parts; 0 as a model without tensor axis is stored.
FlaxFile tiny_v1(bool scanned, std::int64_t parts) {
  FlaxFile file;
  file.model_class = "xLSTMLMModelConfig";
  file.config = config_of("mlstm_v1", scanned);
  const std::int64_t n = std::max<std::int64_t>(1, parts);
  Blocks blocks(file, scanned);
  blocks.dense(kLayer + "dense_q", kD, kQk, parts);
  blocks.dense(kLayer + "dense_k", kD, kQk, parts);
  blocks.dense(kLayer + "dense_v", kD, kV, parts);
  blocks.dense(kLayer + "dense_o", kD, kV, parts);
  for (const char* gate : {"igate", "fgate"}) {
    blocks.dense(kLayer + gate, kD, kHeads, parts);
    blocks.bias(kLayer + gate, kHeads, parts);
  }
  blocks.dense(kLayer + "proj_down", kV, kD, parts, true);
  blocks.add(kLayer + "outnorm/sharded/scale", {n, kHeads / n, kV / kHeads});
  blocks.add(kLayer + "q_norm/scale", {kQk / kHeads});
  blocks.add(kLayer + "k_norm/scale", {kQk / kHeads});
  for (const char* norm : {"xlstm_res_block/xlstm_norm", "xlstm_res_block/xlstm_post_norm",
                           "ffn_res_block/ffn_norm", "ffn_res_block/ffn_post_norm"}) {
    blocks.add(std::string(norm) + "/sharded/scale", {n, kD / n});
  }
  blocks.dense("ffn_res_block/ffn/proj_up", kD, kF, parts);
  blocks.dense("ffn_res_block/ffn/proj_up_gate", kD, kF, parts);
  blocks.dense("ffn_res_block/ffn/proj_down", kF, kD, parts, true);
  file.add("token_embedding/sharded/embedding", {n, kVocab, kD / n});
  file.add("lm_head/out_norm/scale", {kD});
  file.add("lm_head/out_dense/kernel", {kD, kVocab});
  return file;
}

FlaxFile tiny_older(bool scanned, bool headwise, bool joint) {
  FlaxFile file;
  file.model_class = "xLSTMLMModelConfig";
  file.config = config_of("mlstm", scanned);
  Json& layer = file.config["mlstm_block"]["mlstm"];
  layer["qk_dim_factor"] = 1.0;
  layer["vmap_qk"] = joint;
  layer["mlstm_cell"]["gate_linear_headwise"] = headwise;
  file.config["mlstm_block"]["feedforward"] = nullptr;
  file.config["mlstm_block"]["add_post_norm"] = false;
  Blocks blocks(file, scanned);
  blocks.dense(kLayer + "proj_up_mlstm", kD, kI, 0);
  blocks.dense(kLayer + "proj_up_z", kD, kI, 0);
  blocks.dense(kLayer + "proj_down", kI, kD, 0, true);
  blocks.add(kInner + "conv1d/conv/kernel", {1, 3, 1, kI});
  blocks.add(kInner + "conv1d/conv/bias", {1, kI});
  if (joint) {
    blocks.add(kInner + "qk_proj/kernel", {1, 2, kI / 4, 4, 4});
  } else {
    blocks.add(kInner + "q_proj/kernel", {1, kI / 4, 4, 4});
    blocks.add(kInner + "k_proj/kernel", {1, kI / 4, 4, 4});
  }
  blocks.add(kInner + "v_proj/kernel", {1, kI / 4, 4, 4});
  blocks.add(kInner + "learnable_skip", {1, kI});
  for (const std::string gate : {"mlstm_cell/igate", "mlstm_cell/fgate"}) {
    if (headwise) {
      blocks.add(kInner + gate + "/kernel", {1, kHeads, 1, 3 * kI / kHeads});
    } else {
      blocks.add(kInner + gate + "/kernel", {1, 3 * kI, kHeads});
    }
    blocks.add(kInner + gate + "/bias", {1, kHeads});
  }
  blocks.add(kInner + "mlstm_cell/outnorm/scale", {1, kHeads, kI / kHeads});
  blocks.add(kInner + "mlstm_cell/q_norm/scale", {1, kI / kHeads});
  blocks.add(kInner + "mlstm_cell/k_norm/scale", {1, kI / kHeads});
  blocks.add("xlstm_res_block/xlstm_norm/sharded/scale", {1, kD});
  file.add("token_embedding/sharded/embedding", {1, kVocab, kD});
  file.add("lm_head/out_norm/scale", {kD});
  file.add("lm_head/out_dense/kernel", {kD, kVocab});
  return file;
}

class FlaxXlstm : public testing::Test {
 protected:
  CheckpointFile converted(const FlaxFile& flax) {
    flax.write(folder_.file("params.h5"));
    convert({.source = folder_.file("params.h5"), .destination = folder_.file("m.h5")});
    return CheckpointFile::open(folder_.file("m.h5"));
  }
  Outcome outcome_of(const FlaxFile& flax) {
    flax.write(folder_.file("params.h5"));
    return convert_outcome(
        {.source = folder_.file("params.h5"), .destination = folder_.file("m.h5")});
  }
  /// Array `name` of layer 1.
  static std::vector<float> layer1(const FlaxFile& flax, bool scanned, const std::string& name) {
    if (!scanned) return flax.values(kBlocks + "1/" + name);
    return part_of(flax.values(kBlocks + "block/" + name), kLayers, 1);
  }
  TemporaryFolder folder_;
};

class FlaxXlstmLayouts : public FlaxXlstm, public testing::WithParamInterface<bool> {};
INSTANTIATE_TEST_SUITE_P(BlocksAndScan, FlaxXlstmLayouts, testing::Bool());

TEST_P(FlaxXlstmLayouts, ArraysOfMlstmV1FindTheirPlaces) {
  const bool scanned = GetParam();
  const FlaxFile flax = tiny_v1(scanned, 0);
  const CheckpointFile file = converted(flax);
  const auto theirs = [&](const std::string& name) { return layer1(flax, scanned, name); };
  const auto ours = [&](const std::string& name) {
    return stored_values(file, "layers.1." + name);
  };
  EXPECT_EQ(ours("q"), transposed(theirs(kLayer + "dense_q/Dense_0/kernel"), kD));
  EXPECT_EQ(ours("k"), transposed(theirs(kLayer + "dense_k/Dense_0/kernel"), kD));
  EXPECT_EQ(ours("v"), transposed(theirs(kLayer + "dense_v/Dense_0/kernel"), kD));
  EXPECT_EQ(ours("o_gate"), transposed(theirs(kLayer + "dense_o/Dense_0/kernel"), kD));
  EXPECT_EQ(ours("i_gate"), transposed(theirs(kLayer + "igate/Dense_0/kernel"), kD));
  EXPECT_EQ(ours("f_gate_bias"), theirs(kLayer + "fgate/Dense_0/bias"));
  EXPECT_EQ(ours("out"), transposed(theirs(kLayer + "proj_down/Dense_0/kernel"), kV));
  EXPECT_EQ(ours("head_norm"), theirs(kLayer + "outnorm/sharded/scale"));
  EXPECT_EQ(ours("q_norm"), theirs(kLayer + "q_norm/scale"));
  EXPECT_EQ(ours("mlstm_norm"), theirs("xlstm_res_block/xlstm_norm/sharded/scale"));
  EXPECT_EQ(ours("mlstm_post_norm"), theirs("xlstm_res_block/xlstm_post_norm/sharded/scale"));
  EXPECT_EQ(ours("ffn_norm"), theirs("ffn_res_block/ffn_norm/sharded/scale"));
  EXPECT_EQ(ours("ffn_post_norm"), theirs("ffn_res_block/ffn_post_norm/sharded/scale"));
  EXPECT_EQ(ours("gate"), transposed(theirs("ffn_res_block/ffn/proj_up_gate/Dense_0/kernel"), kD));
  EXPECT_EQ(ours("up"), transposed(theirs("ffn_res_block/ffn/proj_up/Dense_0/kernel"), kD));
  EXPECT_EQ(ours("down"), transposed(theirs("ffn_res_block/ffn/proj_down/Dense_0/kernel"), kF));
}

TEST_P(FlaxXlstmLayouts, ArraysOfTheOlderLayerFindTheirPlaces) {
  const bool scanned = GetParam();
  const FlaxFile flax = tiny_older(scanned, false, false);
  const CheckpointFile file = converted(flax);
  const auto theirs = [&](const std::string& name) { return layer1(flax, scanned, name); };
  const auto ours = [&](const std::string& name) {
    return stored_values(file, "layers.1." + name);
  };
  EXPECT_EQ(ours("up_x"), transposed(theirs(kLayer + "proj_up_mlstm/Dense_0/kernel"), kD));
  EXPECT_EQ(ours("up_z"), transposed(theirs(kLayer + "proj_up_z/Dense_0/kernel"), kD));
  EXPECT_EQ(ours("out"), transposed(theirs(kLayer + "proj_down/Dense_0/kernel"), kI));
  EXPECT_EQ(ours("conv"), part_of(theirs(kInner + "conv1d/conv/kernel"), 3, 2)) << "the last tap";
  EXPECT_EQ(ours("conv_bias"), theirs(kInner + "conv1d/conv/bias"));
  EXPECT_EQ(ours("q"), theirs(kInner + "q_proj/kernel"));
  EXPECT_EQ(ours("k"), theirs(kInner + "k_proj/kernel"));
  EXPECT_EQ(ours("v"), theirs(kInner + "v_proj/kernel"));
  EXPECT_EQ(ours("skip"), theirs(kInner + "learnable_skip"));
  EXPECT_EQ(ours("i_gate"), transposed(theirs(kInner + "mlstm_cell/igate/kernel"), 3 * kI));
  EXPECT_EQ(ours("f_gate_bias"), theirs(kInner + "mlstm_cell/fgate/bias"));
  EXPECT_EQ(ours("head_norm"), theirs(kInner + "mlstm_cell/outnorm/scale"));
  EXPECT_EQ(ours("k_norm"), theirs(kInner + "mlstm_cell/k_norm/scale"));
}

TEST_P(FlaxXlstmLayouts, HeadwiseGatesBecomeDenseWithZerosElsewhere) {
  const bool scanned = GetParam();
  const FlaxFile flax = tiny_older(scanned, true, false);
  const std::vector<float> kernel = layer1(flax, scanned, kInner + "mlstm_cell/igate/kernel");
  constexpr std::size_t kShare = kI / kHeads;  // features of q, k and v that a head has
  std::vector<float> expected(static_cast<std::size_t>(kHeads * 3 * kI), 0.0F);
  for (std::size_t head = 0; head < kHeads; ++head) {
    for (std::size_t part = 0; part < 3; ++part) {
      for (std::size_t j = 0; j < kShare; ++j) {
        expected[head * 3 * kI + part * kI + head * kShare + j] =
            kernel[head * 3 * kShare + part * kShare + j];
      }
    }
  }
  EXPECT_EQ(stored_values(converted(flax), "layers.1.i_gate"), expected);
}

TEST_P(FlaxXlstmLayouts, JointQueryAndKeyProjectionsAreTakenApart) {
  const bool scanned = GetParam();
  const FlaxFile flax = tiny_older(scanned, false, true);
  const CheckpointFile file = converted(flax);
  const std::vector<float> joint = layer1(flax, scanned, kInner + "qk_proj/kernel");
  EXPECT_EQ(stored_values(file, "layers.1.q"), part_of(joint, 2, 0));
  EXPECT_EQ(stored_values(file, "layers.1.k"), part_of(joint, 2, 1));
}

TEST_P(FlaxXlstmLayouts, TensorParallelPartsAreJoined) {
  const bool scanned = GetParam();
  const FlaxFile flax = tiny_v1(scanned, 2);
  const CheckpointFile file = converted(flax);
  const auto theirs = [&](const std::string& name) { return layer1(flax, scanned, name); };
  const auto ours = [&](const std::string& name) {
    return stored_values(file, "layers.1." + name);
  };
  // Parts of outputs: rows of ours one after the other.
  std::vector<float> rows;
  const std::vector<float> v = theirs(kLayer + "dense_v/module/sharded/kernel");
  for (const std::size_t part : {0, 1}) {
    const std::vector<float> turned = transposed(part_of(v, 2, part), kD);
    rows.insert(rows.end(), turned.begin(), turned.end());
  }
  EXPECT_EQ(ours("v"), rows);
  // Parts of inputs: as a kernel [inputs, outputs] they lie one after the other.
  EXPECT_EQ(ours("out"), transposed(theirs(kLayer + "proj_down/module/sharded/kernel"), kV));
  EXPECT_EQ(ours("i_gate_bias"), theirs(kLayer + "igate/module/sharded/bias"));
  EXPECT_EQ(ours("mlstm_norm"), theirs("xlstm_res_block/xlstm_norm/sharded/scale"));
  EXPECT_EQ(ours("head_norm"), theirs(kLayer + "outnorm/sharded/scale"));
  // The embedding is cut along D.
  const std::vector<float> table = flax.values("token_embedding/sharded/embedding");
  const std::vector<float> embedding = stored_values(file, "embedding");
  EXPECT_EQ(embedding[3 * kD + 1], table[3 * (kD / 2) + 1]);
  EXPECT_EQ(embedding[3 * kD + kD / 2 + 1], table[kVocab * (kD / 2) + 3 * (kD / 2) + 1]);
}

TEST_F(FlaxXlstm, TheConfigurationIsTranslated) {
  const Json model = converted(tiny_v1(true, 0)).model();
  EXPECT_EQ(model.at("layer_type"), "mlstm_v1");
  EXPECT_EQ(model.at("qk_dim"), kQk);
  EXPECT_EQ(model.at("v_dim"), kV);
  EXPECT_EQ(model.at("norm"), "rms");
  EXPECT_EQ(model.at("head_norm"), "layer");
  EXPECT_EQ(model.at("norm_eps"), 1e-5) << "of the cell";
  EXPECT_EQ(model.at("final_norm_eps"), 1e-6) << "of the model";
  EXPECT_EQ(model.at("denominator_eps"), 1e-4);
  EXPECT_EQ(model.at("gate_soft_cap"), 15.0);
  EXPECT_EQ(model.at("logit_soft_cap"), 30.0);
  EXPECT_EQ(model.at("qk_norm"), true);
  EXPECT_EQ(model.at("post_norm"), true);
  EXPECT_EQ(model.at("ffn"), "gated");
  EXPECT_EQ(model.at("ffn_size"), kF) << "rounded up to a multiple of 64";
  EXPECT_EQ(model.at("activation"), "relu_squared");
  EXPECT_EQ(model.at("max_length"), 0);
}

TEST_F(FlaxXlstm, TheOlderLayerIsDescribed) {
  const Json model = converted(tiny_older(true, false, false)).model();
  EXPECT_EQ(model.at("layer_type"), "mlstm");
  EXPECT_EQ(model.at("inner_size"), kI) << "rounded up to a multiple of 64";
  EXPECT_EQ(model.at("conv_kernel"), 3);
  EXPECT_EQ(model.at("qkv_block_size"), 4);
  EXPECT_EQ(model.at("gate_input"), "qkv");
  EXPECT_EQ(model.at("head_norm"), "rms") << "the cell's norm_type";
  EXPECT_EQ(model.at("ffn"), "none");
}

TEST_F(FlaxXlstm, ABiasThatOnlyTheFeedForwardHasLeavesZerosElsewhere) {
  FlaxFile flax = tiny_v1(false, 0);
  flax.config["mlstm_block"]["feedforward"]["bias"] = true;
  Blocks blocks(flax, false);
  blocks.bias("ffn_res_block/ffn/proj_up", kF, 0);
  blocks.bias("ffn_res_block/ffn/proj_up_gate", kF, 0);
  blocks.bias("ffn_res_block/ffn/proj_down", kD, 0);
  const CheckpointFile file = converted(flax);
  EXPECT_EQ(stored_values(file, "layers.1.up_bias"),
            flax.values(kBlocks + "1/ffn_res_block/ffn/proj_up/Dense_0/bias"));
  EXPECT_EQ(stored_values(file, "layers.1.q_bias"), std::vector<float>(kQk, 0.0F));
}

TEST_F(FlaxXlstm, WhatIsNotComputedIsUnsupported) {
  struct Change {
    const char* path;
    Json value;
    const char* named;
  };
  for (const Change& change :
       std::vector<Change>{{"/slstm_at", Json::array({1}), "sLSTM"},
                           {"/_block_map", "0,1", "sLSTM"},
                           {"/mlstm_block/mlstm/layer_type", "slstm", "layer_type"},
                           {"/mlstm_block/mlstm/debug_cell", true, "debug_cell"},
                           {"/mlstm_block/feedforward/act_fn", "mish", "act_fn"},
                           {"/mlstm_block/feedforward/ff_type", "moe", "ff_type"},
                           {"/norm_type", "batchnorm", "norm_type"}}) {
    FlaxFile flax = tiny_v1(false, 0);
    flax.config[Json::json_pointer(change.path)] = change.value;
    const Outcome outcome = outcome_of(flax);
    EXPECT_EQ(outcome.code, ExitCode::bad_input) << change.path;
    EXPECT_TRUE(contains_all(outcome.message, {"params.h5", change.named, "unsupported"}))
        << outcome.message;
  }
}

TEST_F(FlaxXlstm, AnOlderLayerWithOtherWidthsIsUnsupported) {
  FlaxFile flax = tiny_older(false, false, false);
  flax.config["mlstm_block"]["mlstm"]["v_dim_factor"] = 0.5;
  EXPECT_TRUE(contains_all(outcome_of(flax).message, {"v_dim_factor", "unsupported"}));
}

TEST_F(FlaxXlstm, AMissingArrayIsNamedWithItsShape) {
  FlaxFile flax = tiny_v1(true, 0);
  flax.remove(kBlocks + "block/" + kLayer + "igate/Dense_0/bias");
  const Outcome outcome = outcome_of(flax);
  EXPECT_EQ(outcome.code, ExitCode::bad_input);
  EXPECT_TRUE(contains_all(outcome.message,
                           {"params.h5", kLayer + "igate/Dense_0/bias", "[2, 2]", "missing"}))
      << outcome.message;
}

}  // namespace
}  // namespace gridmill
