#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "gridmill/model/model.hpp"
#include "unit/convert/support.hpp"

namespace gridmill {
namespace {

using test::SafetensorsWriter;
using test::stored_values;
using test::TemporaryFolder;

constexpr std::int64_t kD = 8, kQk = 4, kV = 8, kHeads = 2, kF = 12, kVocab = 10;

/// Tensors of a tiny xLSTM in both storage forms; every value is random by the single form's name,
/// so fused sections can be told apart.
class TinyXlstm {
 public:
  Json config = {{"model_type", "xlstm"},
                 {"vocab_size", kVocab},
                 {"embedding_dim", kD},
                 {"num_blocks", 1},
                 {"num_heads", kHeads},
                 {"ffn_proj_factor", 1.5},
                 {"ffn_round_up_to_multiple_of", 4},
                 {"use_bias", true}};
  SafetensorsWriter weights;

  TinyXlstm(bool fused, bool nx_ai) : fused_(fused) {
    if (nx_ai) config.erase("model_type");
    config["weight_mode"] = fused ? "fused" : "single";
    weights.add_random(nx_ai ? "embedding.weight" : "backbone.embeddings.weight", {kVocab, kD});
    joint("mlstm_layer.qkv_opreact", {{"mlstm_layer.q", kQk},
                                      {"mlstm_layer.k", kQk},
                                      {"mlstm_layer.v", kV},
                                      {"mlstm_layer.ogate_preact", kV}});
    joint("mlstm_layer.ifgate_preact",
          {{"mlstm_layer.igate_preact", kHeads}, {"mlstm_layer.fgate_preact", kHeads}});
    joint("ffn.proj_up_gate_z", {{"ffn.proj_up_gate", kF}, {"ffn.proj_up", kF}});
    linear("mlstm_layer.out_proj", kD, kV);
    linear("ffn.proj_down", kD, kF);
    for (const auto& [name, size] : std::vector<std::pair<std::string, std::int64_t>>{
             {"norm_mlstm", kD}, {"norm_ffn", kD}, {"mlstm_layer.multihead_norm", kV}}) {
      weights.add_random(kPrefix + name + ".weight", {size});
      weights.add_random(kPrefix + name + ".bias", {size});
    }
    weights.add_random("backbone.out_norm.weight", {kD});
    if (nx_ai) weights.add_random("backbone.out_norm.bias", {kD});
    weights.add_random("lm_head.weight", {kVocab, kD});
  }

  static inline const std::string kPrefix = "backbone.blocks.0.";

 private:
  using Parts = std::vector<std::pair<std::string, std::int64_t>>;
  void linear(const std::string& name, std::int64_t rows, std::int64_t columns) {
    weights.add_random(kPrefix + name + ".weight", {rows, columns});
    weights.add_random(kPrefix + name + ".bias", {rows});
  }
  void joint(const std::string& fused_name, const Parts& parts) {
    std::vector<float> matrix;
    std::vector<float> bias;
    for (const auto& [name, rows] : parts) {
      if (!fused_) {
        linear(name, rows, kD);
        continue;
      }
      const auto weight = SafetensorsWriter::random_values(kPrefix + name + ".weight", {rows, kD});
      const auto offset = SafetensorsWriter::random_values(kPrefix + name + ".bias", {rows});
      matrix.insert(matrix.end(), weight.begin(), weight.end());
      bias.insert(bias.end(), offset.begin(), offset.end());
    }
    if (!fused_) return;
    const auto rows = static_cast<std::int64_t>(bias.size());
    weights.add(kPrefix + fused_name + ".weight", {rows, kD}, matrix);
    weights.add(kPrefix + fused_name + ".bias", {rows}, bias);
  }
  bool fused_;
};

class HuggingFaceXlstm : public testing::Test {
 protected:
  CheckpointFile converted(const TinyXlstm& model) {
    folder_.write("config.json", model.config.dump());
    folder_.write("model.safetensors", model.weights.bytes());
    convert({.source = folder_.path().string(), .destination = out_.file("m.h5")});
    return CheckpointFile::open(out_.file("m.h5"));
  }
  static void expect_block(const CheckpointFile& file) {
    const std::vector<std::pair<std::string, std::string>> names = {
        {"q", "mlstm_layer.q"},
        {"k", "mlstm_layer.k"},
        {"v", "mlstm_layer.v"},
        {"o_gate", "mlstm_layer.ogate_preact"},
        {"i_gate", "mlstm_layer.igate_preact"},
        {"f_gate", "mlstm_layer.fgate_preact"},
        {"out", "mlstm_layer.out_proj"},
        {"head_norm", "mlstm_layer.multihead_norm"},
        {"mlstm_norm", "norm_mlstm"},
        {"ffn_norm", "norm_ffn"},
        {"gate", "ffn.proj_up_gate"},
        {"up", "ffn.proj_up"},
        {"down", "ffn.proj_down"},
    };
    for (const auto& [ours, theirs] : names) {
      for (const auto& [suffix, ending] :
           std::vector<std::pair<std::string, std::string>>{{"", ".weight"}, {"_bias", ".bias"}}) {
        const std::vector<float> stored = stored_values(file, "layers.0." + ours + suffix);
        EXPECT_EQ(stored,
                  SafetensorsWriter::random_values(TinyXlstm::kPrefix + theirs + ending,
                                                   {static_cast<std::int64_t>(stored.size())}))
            << ours + suffix;
      }
    }
  }
  TemporaryFolder folder_;
  TemporaryFolder out_;
};

TEST_F(HuggingFaceXlstm, SingleWeightsKeepTheirNumbers) {
  const CheckpointFile file = converted(TinyXlstm(false, false));
  expect_block(file);
  EXPECT_EQ(stored_values(file, "embedding"),
            SafetensorsWriter::random_values("backbone.embeddings.weight", {kVocab, kD}));
  EXPECT_EQ(stored_values(file, "final_norm"),
            SafetensorsWriter::random_values("backbone.out_norm.weight", {kD}));
  EXPECT_EQ(stored_values(file, "head"),
            SafetensorsWriter::random_values("lm_head.weight", {kVocab, kD}));
}

TEST_F(HuggingFaceXlstm, FusedWeightsAreTakenApart) {
  expect_block(converted(TinyXlstm(true, false)));
}

TEST_F(HuggingFaceXlstm, NxAiNamesAndTheirFinalBiasAreRead) {
  const CheckpointFile file = converted(TinyXlstm(false, true));
  expect_block(file);
  EXPECT_EQ(stored_values(file, "embedding"),
            SafetensorsWriter::random_values("embedding.weight", {kVocab, kD}));
  EXPECT_EQ(stored_values(file, "final_norm_bias"),
            SafetensorsWriter::random_values("backbone.out_norm.bias", {kD}));
}

TEST_F(HuggingFaceXlstm, NxAiModelsMayLackTheFinalNorm) {
  TinyXlstm model(false, true);
  model.config["add_out_norm"] = false;
  model.weights.header().erase("backbone.out_norm.weight");
  model.weights.header().erase("backbone.out_norm.bias");
  EXPECT_EQ(converted(model).model().at("final_norm"), false);
}

}  // namespace
}  // namespace gridmill
