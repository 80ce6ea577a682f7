#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "convert/families/recurrence.hpp"
#include "gridmill/model/model_spec.hpp"
#include "unit/convert/support.hpp"

namespace gridmill {
namespace {

using test::contains_all;
using test::convert_outcome;
using test::Outcome;
using test::SafetensorsWriter;
using test::stored_dtype;
using test::stored_values;
using test::TemporaryFolder;

constexpr std::int64_t kHidden = 8;

/// A Mamba-2 of two heads of 8, one group, states of 4.
struct TinyMamba {
  Json config = {{"model_type", "mamba2"}, {"architectures", {"Mamba2ForCausalLM"}},
                 {"vocab_size", 16},       {"hidden_size", kHidden},
                 {"num_hidden_layers", 1}, {"num_heads", 2},
                 {"head_dim", 8},          {"n_groups", 1},
                 {"state_size", 4},        {"conv_kernel", 3}};
  SafetensorsWriter weights;

  /// @param taps  of the convolution, in fp32; empty: random ones in bf16.
  explicit TinyMamba(const std::vector<float>& taps = {}) {
    add("backbone.embeddings.weight", {16, kHidden});
    add("backbone.norm_f.weight", {kHidden});
    add("lm_head.weight", {16, kHidden});
    const std::string layer = "backbone.layers.0.";
    add(layer + "norm.weight", {kHidden});
    add(layer + "mixer.in_proj.weight", {16 + 24 + 2, kHidden});
    if (taps.empty()) {
      add(layer + "mixer.conv1d.weight", {24, 1, 3});
    } else {
      weights.add(layer + "mixer.conv1d.weight", {24, 1, 3}, taps);
    }
    add(layer + "mixer.conv1d.bias", {24});
    add(layer + "mixer.norm.weight", {16});
    add(layer + "mixer.out_proj.weight", {kHidden, 16});
    for (const char* name : {"A_log", "dt_bias", "D"}) {
      weights.add_random(layer + "mixer." + name, {2});
    }
  }
  /// A bf16 checkpoint.
  void add(const std::string& name, const SafetensorsWriter::Shape& shape) {
    weights.add_bf16(name, shape, SafetensorsWriter::random_values(name, shape));
  }
  std::string write(const TemporaryFolder& folder) const {
    folder.write("config.json", config.dump());
    folder.write("model.safetensors", weights.bytes());
    return folder.path().string();
  }
};

Outcome outcome_of_limit(const Json& limit) {
  const TemporaryFolder folder;
  TinyMamba mamba;
  mamba.config["time_step_limit"] = limit;
  return convert_outcome({.source = mamba.write(folder), .destination = folder.file("out.h5")});
}

TEST(ConvertMamba2, TakesTheUnlimitedTimeStepInEverySpelling) {
  for (const Json& limit :
       {Json({0.0, "Infinity"}), Json({0, "inf"}), Json({0.0, 1e39}), Json("(0.0, inf)"),
        Json("[0.0, Infinity]"), Json(), Json::array({0.0, {{"__float__", "Infinity"}}})}) {
    const Outcome outcome = outcome_of_limit(limit);
    EXPECT_EQ(outcome.code, ExitCode::ok) << limit << ": " << outcome.message;
  }
}

TEST(ConvertMamba2, RefusesALimitOfTheTimeStep) {
  for (const Json& limit : {Json({0.001, "inf"}), Json({0.0, 0.1}), Json("(0.0, 0.1)"),
                            Json("unlimited"), Json({0.0}), Json(3)}) {
    const Outcome outcome = outcome_of_limit(limit);
    EXPECT_EQ(outcome.code, ExitCode::bad_input) << limit;
    EXPECT_TRUE(contains_all(outcome.message, {"time_step_limit", "unsupported"}))
        << outcome.message;
  }
}

TEST(ConvertMamba2, ReadsTheBareInfinityThatPythonWrites) {
  const TemporaryFolder folder;
  const TinyMamba mamba;
  const std::string source = mamba.write(folder);
  std::string text = mamba.config.dump();
  text.insert(text.size() - 1, R"(, "time_step_limit": [0.0, Infinity], "hidden_act": "silu")");
  folder.write("config.json", text);
  const Outcome outcome = convert_outcome({.source = source, .destination = folder.file("out.h5")});
  EXPECT_EQ(outcome.code, ExitCode::ok) << outcome.message;
}

TEST(ConvertMamba2, KeepsVectorsInFp32InABf16Checkpoint) {
  const TemporaryFolder folder;
  const TinyMamba mamba;
  const std::string path = folder.file("out.h5");
  convert({.source = mamba.write(folder), .destination = path, .dtype = DType::bf16});
  const CheckpointFile file = CheckpointFile::open(path);
  for (const std::string name : {"a_log", "step_bias", "skip", "conv", "norm"}) {
    EXPECT_EQ(stored_dtype(file, "layers.0.recurrence." + name), DType::fp32) << name;
  }
  EXPECT_EQ(stored_values(file, "layers.0.recurrence.a_log"),
            SafetensorsWriter::random_values("backbone.layers.0.mixer.A_log", {2}));
  EXPECT_EQ(stored_dtype(file, "layers.0.recurrence.q"), DType::bf16);
}

TEST(ConvertMamba2, PutsChannelsInTheOrderOfTheModelTapByTap) {
  const TemporaryFolder folder;
  std::vector<float> taps;  // channel + tap / 8
  for (int channel = 0; channel < 24; ++channel) {
    for (int tap = 0; tap < 3; ++tap) {
      taps.push_back(static_cast<float>(channel) + static_cast<float>(tap) / 8);
    }
  }
  const TinyMamba mamba(taps);
  const std::string path = folder.file("out.h5");
  convert({.source = mamba.write(folder), .destination = path});
  const std::vector<float> stored =
      stored_values(CheckpointFile::open(path), "layers.0.recurrence.conv");
  ASSERT_EQ(stored.size(), 72U);
  // q = C (20 to 23), k = B (16 to 19), v = x (0 to 15).
  EXPECT_EQ(stored[0], 20.0F);
  EXPECT_EQ(stored[4], 16.0F);
  EXPECT_EQ(stored[8], 0.0F);
  EXPECT_EQ(stored[24], 20.125F);
  EXPECT_EQ(stored[71], 15.25F);
}

/// One sLSTM block of two heads of 4.
struct TinySlstm {
  Json config = Json::parse(R"({"vocab_size": 16, "embedding_dim": 8, "num_blocks": 1,
      "slstm_at": [0], "context_length": 32, "slstm_block": {"slstm": {"num_heads": 2}, "feedforward": null}})");
  SafetensorsWriter weights;

  explicit TinySlstm(bool cuda) {
    weights.add_random("token_embedding.weight", {16, 8});
    weights.add_random("lm_head.weight", {16, 8});
    weights.add_random("xlstm_block_stack.post_blocks_norm.weight", {8});
    const std::string block = "xlstm_block_stack.blocks.0.";
    weights.add_random(block + "xlstm_norm.weight", {8});
    weights.add_random(block + "xlstm.conv1d.conv.weight", {8, 1, 4});
    weights.add_random(block + "xlstm.conv1d.conv.bias", {8});
    weights.add_random(block + "xlstm.group_norm.weight", {8});
    for (const char* gate : {"igate", "fgate", "zgate", "ogate"}) {
      weights.add_random(block + "xlstm." + gate + ".weight", {2, 4, 4});
    }
    std::vector<float> kernel(2 * 16 * 4);
    std::vector<float> bias(32);
    for (std::size_t head = 0; head < 2; ++head) {
      for (std::size_t gate = 0; gate < 4; ++gate) {
        for (std::size_t out = 0; out < 4; ++out) {
          const std::size_t at = cuda ? (head * 4 + gate) * 4 + out : (gate * 2 + head) * 4 + out;
          bias[at] = static_cast<float>(100 * gate + 10 * head + out);
          for (std::size_t in = 0; in < 4; ++in) {
            const std::size_t place = cuda ? ((head * 4 + in) * 4 + gate) * 4 + out
                                           : ((head * 4 + gate) * 4 + out) * 4 + in;
            kernel[place] = static_cast<float>(1000 * gate + 100 * head + 10 * in + out);
          }
        }
      }
    }
    const SafetensorsWriter::Shape shape =
        cuda ? SafetensorsWriter::Shape{2, 4, 16} : SafetensorsWriter::Shape{2, 16, 4};
    weights.add(block + "xlstm.slstm_cell._recurrent_kernel_", shape, kernel);
    weights.add(block + "xlstm.slstm_cell._bias_", {32}, bias);
  }
};

TEST(ConvertXlstmPackage, BothLayoutsOfASlstmGiveTheSameParameters) {
  std::vector<std::vector<float>> recurrent, bias;
  for (const bool cuda : {false, true}) {
    const TemporaryFolder folder;
    const TinySlstm slstm(cuda);
    folder.write("config.json", slstm.config.dump());
    folder.write("model.safetensors", slstm.weights.bytes());
    const std::string path = folder.file("out.h5");
    convert({.source = folder.path().string(), .destination = path});
    const CheckpointFile file = CheckpointFile::open(path);
    recurrent.push_back(stored_values(file, "layers.0.slstm.recurrent"));
    bias.push_back(stored_values(file, "layers.0.slstm.bias"));
  }
  EXPECT_EQ(recurrent[0], recurrent[1]);
  EXPECT_EQ(bias[0], bias[1]);
  // Head 1, input 2, gate 3, output 1; gate 2, head 1, output 3.
  EXPECT_EQ(recurrent[0][((1 * 4 + 2) * 4 + 3) * 4 + 1], 3121.0F);
  EXPECT_EQ(bias[0][(2 * 2 + 1) * 4 + 3], 213.0F);
}

TEST(ConvertXlstmPackage, TheTensorCalledFgateFeedsTheInputGate) {
  const TemporaryFolder folder;
  const TinySlstm slstm(false);
  folder.write("config.json", slstm.config.dump());
  folder.write("model.safetensors", slstm.weights.bytes());
  const std::string path = folder.file("out.h5");
  convert({.source = folder.path().string(), .destination = path});
  EXPECT_EQ(
      stored_values(CheckpointFile::open(path), "layers.0.slstm.i_gate"),
      SafetensorsWriter::random_values("xlstm_block_stack.blocks.0.xlstm.fgate.weight", {2, 4, 4}));
}

}  // namespace
}  // namespace gridmill
