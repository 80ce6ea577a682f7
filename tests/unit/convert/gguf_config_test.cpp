// The keys of a GGUF file, a line a key. No key is dropped silently: it is applied, known to change
// nothing, named in a warning, or refused by its name.
#include <gtest/gtest.h>

#include <memory>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "convert/gguf/gguf.hpp"
#include "convert/hugging_face_detail.hpp"
#include "unit/convert/support.hpp"

namespace gridmill {
namespace {

using convert_detail::ConfigFields;
using convert_detail::Extents;
using convert_detail::Family;
using convert_detail::ForeignTensor;
using convert_detail::ForeignTensors;
using convert_detail::GgufFile;

constexpr std::int64_t kLayers = 6;
constexpr std::int64_t kHeadWidth = 8;

/// A tensor whose elements are all the same.
class ConstantTensor final : public ForeignTensor {
 public:
  ConstantTensor(const std::string& name, Extents shape, float value)
      : ForeignTensor(name, "m.gguf", std::move(shape), "F32"), value_(value) {}
  [[nodiscard]] bool floating() const override { return true; }
  [[nodiscard]] DType stored_as() const override { return DType::fp32; }
  void read(std::int64_t /*first*/, std::span<float> out) const override {
    for (float& element : out) element = value_;
  }

 private:
  float value_;
};

/// Keys that every file has; those of experts where `experts`.
Json smallest_file(const std::string& architecture, bool experts) {
  Json keys = {{"block_count", kLayers},
               {"context_length", 16384},
               {"embedding_length", 32},
               {"feed_forward_length", 32},
               {"attention.head_count", 4},
               {"attention.head_count_kv", 2},
               {"attention.key_length", kHeadWidth}};
  const bool layer_norm = architecture == "phi2" || architecture == "starcoder2";
  keys[layer_norm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon"] = 1e-5;
  if (architecture == "gemma3") keys["attention.sliding_window"] = 512;
  if (architecture == "granite") {
    keys["attention.scale"] = 0.25;
    keys["logit_scale"] = 8;
  }
  if (experts) {
    keys["expert_count"] = 4;
    keys["expert_used_count"] = 2;
  }
  if (architecture.ends_with("moe")) keys["expert_feed_forward_length"] = 16;
  if (architecture == "qwen2moe") keys["expert_shared_feed_forward_length"] = 16;
  Json metadata = {{"general.architecture", architecture}};
  for (const auto& [key, value] : keys.items()) metadata[architecture + "." + key] = value;
  return metadata;
}

struct KeyCase {
  std::string architecture;
  std::string key;
  /// null: the key is taken away.
  Json value;
  /// A field of the configuration, and what it is then (null: it is not there).
  std::string field = {};
  Json expected = nullptr;
  bool experts = false;
  std::vector<std::string> tensors = {};
};
void PrintTo(const KeyCase& one, std::ostream* out) {
  *out << one.architecture << "." << one.key << " = " << one.value.dump();
}

/// The file of a case.
struct TestFile {
  GgufFile file;
  ForeignTensors tensors;
  explicit TestFile(const KeyCase& one) {
    file.path = "m.gguf";
    file.metadata = smallest_file(one.architecture, one.experts);
    const std::string key = one.architecture + "." + one.key;
    file.metadata.erase(key);
    if (!one.value.is_null()) file.metadata[key] = one.value;
    tensors.add(
        std::make_unique<ConstantTensor>("token_embd.weight", Extents{64, kHeadWidth * 4}, 0.0F));
    for (const std::string& name : one.tensors) {
      tensors.add(std::make_unique<ConstantTensor>(name, Extents{kHeadWidth / 2}, 2.0F));
    }
  }
  [[nodiscard]] Json config() const {
    return convert_detail::gguf_config(file, convert_detail::gguf_architecture(file), tensors);
  }
};

ModelSpec spec_of(const Json& config) {
  ConfigFields fields(config, "m.gguf");
  const Family* family = convert_detail::hugging_face_family(fields);
  ModelSpec spec = convert_detail::read_family(fields, *family);
  fields.refuse_unread();
  return spec;
}

const std::vector<std::string> kLong = {"rope_factors_long.weight", "rope_factors_short.weight"};
const std::vector<std::string> kFactors = {"rope_freqs.weight"};

const Json kLinear4 = {{"rope_type", "linear"}, {"factor", 4}};
Json gemma_types(std::int64_t period) {
  Json types = Json::array();
  for (std::int64_t layer = 0; layer < kLayers; ++layer) {
    types.push_back((layer + 1) % period == 0 ? "full_attention" : "sliding_attention");
  }
  return types;
}

class AppliedKey : public testing::TestWithParam<KeyCase> {};

TEST_P(AppliedKey, BecomesAFieldThatTheFamilyReads) {
  const TestFile file(GetParam());
  const Json config = file.config();
  EXPECT_EQ(config.value(GetParam().field, Json()), GetParam().expected) << config.dump(1);
  EXPECT_NO_THROW(spec_of(config));
}
INSTANTIATE_TEST_SUITE_P(
    Sizes, AppliedKey,
    testing::Values(
        KeyCase{"llama", "block_count", 3, "num_hidden_layers", 3},
        KeyCase{"llama", "context_length", 512, "max_position_embeddings", 512},
        KeyCase{"llama", "embedding_length", 64, "hidden_size", 64},
        KeyCase{"llama", "feed_forward_length", 96, "intermediate_size", 96},
        KeyCase{"llama", "attention.head_count", 8, "num_attention_heads", 8},
        KeyCase{"llama", "attention.head_count_kv", 4, "num_key_value_heads", 4},
        KeyCase{"llama", "attention.head_count_kv", {}, "num_key_value_heads", 4},
        KeyCase{"llama", "attention.key_length", 16, "head_dim", 16},
        KeyCase{"llama", "attention.value_length", kHeadWidth, "head_dim", kHeadWidth},
        KeyCase{"llama", "attention.layer_norm_rms_epsilon", 1e-6, "rms_norm_eps", 1e-6},
        KeyCase{"phi2", "attention.layer_norm_epsilon", 1e-6, "layer_norm_eps", 1e-6},
        KeyCase{"starcoder2", "attention.layer_norm_epsilon", 1e-6, "norm_epsilon", 1e-6},
        KeyCase{"llama", "expert_count", 8, "num_local_experts", 8, true},
        KeyCase{"llama", "expert_used_count", 1, "num_experts_per_tok", 1, true},
        KeyCase{"qwen3moe", "expert_count", 8, "num_experts", 8, true},
        KeyCase{"qwen3moe", "expert_feed_forward_length", 24, "moe_intermediate_size", 24, true},
        KeyCase{"qwen3moe", "expert_used_count", 1, "norm_topk_prob", true, true},
        KeyCase{"qwen2moe", "expert_used_count", 1, "norm_topk_prob", false, true},
        KeyCase{"qwen2moe", "expert_shared_feed_forward_length", 48,
                "shared_expert_intermediate_size", 48, true}));
INSTANTIATE_TEST_SUITE_P(
    Rotary, AppliedKey,
    testing::Values(
        KeyCase{"llama", "rope.freq_base", 5e5, "rope_theta", 5e5},
        KeyCase{"llama", "rope.dimension_count", kHeadWidth, "partial_rotary_factor", {}},
        KeyCase{"phi2", "rope.dimension_count", 4, "partial_rotary_factor", 4.25 / kHeadWidth},
        KeyCase{"llama", "rope.scaling.factor", 4, "rope_scaling", kLinear4},
        KeyCase{"llama", "rope.scale_linear", 4, "rope_scaling", kLinear4},
        KeyCase{"llama", "rope.scaling.factor", 1, "rope_scaling", {}},
        KeyCase{"llama", "rope.scaling.factor", 0, "rope_scaling", {}},
        KeyCase{"gemma3", "rope.scaling.factor", 4, "rope_scaling", kLinear4},
        KeyCase{"llama", "rope.scaling.type", "none", "rope_scaling", {}},
        KeyCase{"llama", "rope.scaling.type", "linear", "rope_scaling", {}},
        KeyCase{
            "qwen2",
            "rope.scaling.type",
            "yarn",
            "rope_scaling",
            {{"rope_type", "yarn"}, {"factor", 1}, {"original_max_position_embeddings", 16384}}},
        KeyCase{"phi3", "rope.scaling.original_context_length", 4096,
                "original_max_position_embeddings", 4096, false, kLong},
        KeyCase{"phi3",
                "rope.scaling.attn_factor",
                1.25,
                "rope_scaling",
                {{"rope_type", "longrope"},
                 {"short_factor", {2, 2, 2, 2}},
                 {"long_factor", {2, 2, 2, 2}},
                 {"attention_factor", 1.25}},
                false,
                kLong},
        KeyCase{"llama",
                "rope.scaling.type",
                {},
                "rope_scaling",
                {{"rope_type", "longrope"},
                 {"short_factor", {2, 2, 2, 2}},
                 {"long_factor", {2, 2, 2, 2}},
                 {"attention_factor", 1},
                 {"factor", 1}},
                false,
                kFactors},
        KeyCase{"gemma3", "rope.freq_base_swa", 2e4, "rope_local_base_freq", 2e4},
        KeyCase{"gemma3", "rope.freq_base_swa", {}, "rope_local_base_freq", 10000}));
INSTANTIATE_TEST_SUITE_P(
    Families, AppliedKey,
    testing::Values(
        KeyCase{"gemma2", "attention.sliding_window", 2048, "sliding_window", 2048},
        KeyCase{"gemma3", "attention.sliding_window", 1024, "sliding_window", 1024},
        KeyCase{"gemma3", "attention.sliding_window", 0, "sliding_window", {}},
        KeyCase{"phi3", "attention.sliding_window", 2047, "sliding_window", 2047},
        KeyCase{"phi3", "attention.sliding_window", 0, "sliding_window", {}},
        KeyCase{"starcoder2", "attention.sliding_window", 4096, "sliding_window", 4096},
        KeyCase{"gemma2", "attention.sliding_window_pattern", 2, "layer_types", gemma_types(2)},
        KeyCase{"gemma3", "attention.sliding_window_pattern", 3, "layer_types", gemma_types(3)},
        KeyCase{"gemma3", "attention.sliding_window_pattern", 0, "layer_types", gemma_types(7)},
        KeyCase{"gemma3",
                "attention.sliding_window_pattern",
                {true, true, false, true, true, false},
                "layer_types",
                gemma_types(3)},
        KeyCase{"gemma2", "attn_logit_softcapping", 40, "attn_logit_softcapping", 40},
        KeyCase{"gemma2", "final_logit_softcapping", 20, "final_logit_softcapping", 20},
        KeyCase{"gemma3", "final_logit_softcapping", 20, "final_logit_softcapping", 20},
        KeyCase{"granite", "embedding_scale", 12, "embedding_multiplier", 12},
        KeyCase{"granite", "residual_scale", 0.5, "residual_multiplier", 0.5},
        KeyCase{"granite", "attention.scale", 0.5, "attention_multiplier", 0.5},
        KeyCase{"granite", "logit_scale", 4, "logits_scaling", 4}));

/// Keys that change nothing: the configuration is that of the file without them.
class HarmlessKey : public testing::TestWithParam<KeyCase> {};

TEST_P(HarmlessKey, ChangesNothing) {
  KeyCase without = GetParam();
  without.value = nullptr;
  EXPECT_EQ(TestFile(GetParam()).config(), TestFile(without).config());
}
INSTANTIATE_TEST_SUITE_P(
    Keys, HarmlessKey,
    testing::Values(KeyCase{"llama", "vocab_size", 12345},
                    KeyCase{"llama", "rope.scaling.finetuned", true},
                    KeyCase{"llama", "rope.scaling.finetuned", false},
                    KeyCase{"granite", "rope.scaling.finetuned", true},
                    KeyCase{"llama", "attention.layer_norm_epsilon", 1e-3},
                    KeyCase{"phi2", "attention.layer_norm_rms_epsilon", 1e-3},
                    KeyCase{"llama", "attention.causal", true},
                    KeyCase{"llama", "attention.sliding_window", 0},
                    KeyCase{"llama", "tensor_data_layout", "Meta AI original pth"},
                    KeyCase{"llama", "rope.scaling.attn_factor", 1},
                    KeyCase{"llama", "rope.scaling.original_context_length", 4096},
                    KeyCase{"llama", "expert_count", 0}, KeyCase{"llama", "expert_used_count", 0},
                    KeyCase{"llama", "new_mathematics", 0},
                    KeyCase{"qwen3moe", "expert_weights_scale", 1, "", {}, true},
                    KeyCase{"qwen3moe", "expert_weights_norm", true, "", {}, true},
                    KeyCase{"qwen3moe", "expert_gating_func", 1, "", {}, true},
                    KeyCase{"qwen2moe", "expert_weights_norm", false, "", {}, true},
                    KeyCase{"llama", "expert_weights_norm", true, "", {}, true}));

/// Keys that are not applied.
class RefusedKey : public testing::TestWithParam<KeyCase> {};

TEST_P(RefusedKey, IsNamedInOneLine) {
  const KeyCase& one = GetParam();
  const TestFile file(one);
  const test::Outcome outcome = test::outcome_of([&] { static_cast<void>(file.config()); });
  EXPECT_EQ(outcome.code, ExitCode::bad_input);
  const std::string key = "key " + one.architecture + "." + one.key + " ";
  EXPECT_TRUE(test::contains_all(outcome.message, {"m.gguf", key})) << outcome.message;
  EXPECT_EQ(outcome.message.find('\n'), std::string::npos) << outcome.message;
}
INSTANTIATE_TEST_SUITE_P(
    Values, RefusedKey,
    testing::Values(KeyCase{"llama", "block_count", {}}, KeyCase{"llama", "block_count", 0},
                    KeyCase{"llama", "block_count", "many"},
                    KeyCase{"llama", "feed_forward_length", {32, 48}},
                    KeyCase{"llama", "attention.head_count_kv", 0},
                    KeyCase{"llama", "attention.value_length", 2 * kHeadWidth},
                    KeyCase{"llama", "attention.layer_norm_rms_epsilon", {}},
                    KeyCase{"llama", "rope.freq_base", "high"},
                    KeyCase{"llama", "rope.scaling.factor", "high"},
                    KeyCase{"llama", "rope.scaling.type", 1},
                    KeyCase{"llama", "rope.dimension_count", 2 * kHeadWidth},
                    KeyCase{"gemma3", "attention.sliding_window_pattern", {true, false}},
                    KeyCase{"gemma3", "attention.sliding_window_pattern", {1, 1, 1, 1, 1, 0}}));
INSTANTIATE_TEST_SUITE_P(
    Mathematics, RefusedKey,
    testing::Values(
        KeyCase{"llama", "new_mathematics", 2}, KeyCase{"llama", "attention.scale", 0.1},
        KeyCase{"llama", "attention.clamp_kqv", 8}, KeyCase{"llama", "attention.max_alibi_bias", 8},
        KeyCase{"llama", "attention.causal", false},
        KeyCase{"llama", "attention.sliding_window", 4096},
        KeyCase{"llama", "attention.sliding_window", 4096, "", {}, true},
        KeyCase{"qwen2", "attention.sliding_window", 4096},
        KeyCase{"qwen3moe", "attention.sliding_window", 4096, "", {}, true},
        KeyCase{"smollm3", "attention.sliding_window", 4096},
        KeyCase{"olmo2", "attention.sliding_window", 4096},
        KeyCase{"gemma3", "attention.sliding_window", {}},
        KeyCase{"llama", "attention.sliding_window_pattern", 2},
        KeyCase{"phi3", "attention.sliding_window_pattern", 2},
        KeyCase{"qwen2", "attn_logit_softcapping", 50},
        KeyCase{"gemma", "final_logit_softcapping", 30}, KeyCase{"llama", "logit_scale", 0.5},
        KeyCase{"llama", "pooling_type", 1}, KeyCase{"phi2", "use_parallel_residual", true},
        KeyCase{"qwen2", "tensor_data_layout", "Meta AI original pth"},
        KeyCase{"llama", "tensor_data_layout", "other"}, KeyCase{"granite", "attention.scale", {}},
        KeyCase{"granite", "logit_scale", {}},
        KeyCase{"granite", "rope.scaling.finetuned", false}));
INSTANTIATE_TEST_SUITE_P(
    Rotary, RefusedKey,
    testing::Values(KeyCase{"llama", "rope.scaling.type", "dynamic"},
                    KeyCase{"phi3", "rope.scaling.type", "longrope"},
                    KeyCase{"phi3", "rope.scaling.type", "yarn", "", {}, false, kLong},
                    KeyCase{"llama", "rope.scaling.type", "yarn", "", {}, false, kFactors},
                    KeyCase{"phi3", "rope.scaling.factor", 4, "", {}, false, kLong},
                    KeyCase{"llama", "rope.scaling.factor", 4, "", {}, false, kFactors},
                    KeyCase{"llama", "rope.scale_linear", 4, "", {}, false, kFactors},
                    KeyCase{"llama", "rope.scaling.attn_factor", 1.5},
                    KeyCase{"llama", "rope.scaling.attn_factor", 1.5, "", {}, false, kFactors},
                    KeyCase{"llama", "rope.scaling.alpha", 1000},
                    KeyCase{"llama", "rope.scaling.yarn_beta_fast", 16},
                    KeyCase{"gemma2", "rope.freq_base_swa", 10000},
                    KeyCase{"llama", "rope.dimension_sections", {2, 2, 0, 0}}));
INSTANTIATE_TEST_SUITE_P(
    Experts, RefusedKey,
    testing::Values(KeyCase{"llama", "expert_used_count", {}, "", {}, true},
                    KeyCase{"qwen3moe", "expert_weights_scale", 2.5, "", {}, true},
                    KeyCase{"qwen3moe", "expert_weights_norm", false, "", {}, true},
                    KeyCase{"qwen2moe", "expert_weights_norm", true, "", {}, true},
                    KeyCase{"llama", "expert_weights_norm", false, "", {}, true},
                    KeyCase{"llama", "expert_weights_scale", 2.5, "", {}, true},
                    KeyCase{"qwen3moe", "expert_gating_func", 2, "", {}, true},
                    KeyCase{"llama", "expert_gating_func", 2, "", {}, true},
                    KeyCase{"qwen3moe", "expert_shared_count", 1, "", {}, true},
                    KeyCase{"qwen3moe", "leading_dense_block_count", 1, "", {}, true},
                    KeyCase{"llama", "interleave_moe_layer_step", 2, "", {}, true}));

/// The file of `architecture` with further keys.
Json config_with(const std::string& architecture, const Json& keys) {
  TestFile file(KeyCase{architecture, "vocab_size", nullptr});
  for (const auto& [key, value] : keys.items()) {
    file.file.metadata[architecture + "." + key] = value;
  }
  return file.config();
}

TEST(GgufConfig, YarnHasItsFactorLengthAndBounds) {
  const ModelSpec spec =
      spec_of(config_with("qwen2", {{"rope.scaling.type", "yarn"},
                                    {"rope.scaling.factor", 4},
                                    {"rope.scaling.original_context_length", 4096},
                                    {"rope.scaling.yarn_ext_factor", 1},
                                    {"rope.scaling.yarn_beta_fast", 16},
                                    {"rope.scaling.yarn_beta_slow", 2}}));
  const RotarySpec& rotary = spec.rotary.at(0);
  EXPECT_EQ(rotary.scaling, RotaryScaling::yarn);
  EXPECT_EQ(rotary.factor, 4);
  EXPECT_EQ(rotary.original_max_position, 4096);
  EXPECT_EQ(rotary.beta_fast, 16);
  EXPECT_EQ(rotary.beta_slow, 2);
}

TEST(GgufConfig, MagnitudesOfYarnAreRefused) {
  for (const auto& [key, value] :
       std::vector<std::pair<std::string, double>>{{"rope.scaling.yarn_attn_factor", 0.7},
                                                   {"rope.scaling.yarn_log_multiplier", 0.1},
                                                   {"rope.scaling.yarn_ext_factor", 0.5},
                                                   {"rope.scaling.attn_factor", 0.7}}) {
    const test::Outcome outcome = test::outcome_of([&, &name = key, &number = value] {
      static_cast<void>(config_with(
          "qwen2", {{"rope.scaling.type", "yarn"}, {"rope.scaling.factor", 4}, {name, number}}));
    });
    EXPECT_EQ(outcome.code, ExitCode::bad_input) << key;
    EXPECT_TRUE(test::contains_all(outcome.message, {"qwen2." + key, "unsupported"}))
        << outcome.message;
  }
}

TEST(GgufConfig, AFactorBesideTypeNoneIsRefused) {
  const test::Outcome outcome = test::outcome_of([] {
    static_cast<void>(
        config_with("llama", {{"rope.scaling.type", "none"}, {"rope.scaling.factor", 4}}));
  });
  EXPECT_EQ(outcome.code, ExitCode::bad_input);
  EXPECT_TRUE(test::contains_all(outcome.message, {"llama.rope.scaling.factor", "none"}))
      << outcome.message;
}

TEST(GgufConfig, GemmaTwoWithoutSoftCapsHasThoseOfItsFamily) {
  const ModelSpec spec = spec_of(config_with("gemma2", Json::object()));
  EXPECT_EQ(std::get<AttentionSpec>(spec.layers.at(0).blocks.at(0).mixer).score_cap, 50);
  EXPECT_EQ(spec.head.soft_cap, 30);
}

TEST(GgufConfig, GemmaThreeWithoutSoftCapsHasNone) {
  const ModelSpec spec = spec_of(config_with("gemma3", Json::object()));
  EXPECT_EQ(std::get<AttentionSpec>(spec.layers.at(0).blocks.at(0).mixer).score_cap, 0);
  EXPECT_EQ(spec.head.soft_cap, 0);
}

TEST(GgufConfig, AFamilyWithWindowsWarnsOfAFileThatStatesNone) {
  const std::string key = "attention.sliding_window";
  for (const std::string architecture : {"gemma2", "phi3", "starcoder2"}) {
    testing::internal::CaptureStderr();
    const ModelSpec spec = spec_of(config_with(architecture, Json::object()));
    const std::string lines = testing::internal::GetCapturedStderr();
    EXPECT_TRUE(test::contains_all(lines, {"key " + architecture + "." + key, "missing"})) << lines;
    const auto window = std::get<AttentionSpec>(spec.layers.at(0).blocks.at(0).mixer).window;
    EXPECT_EQ(window.value_or(0), architecture == "gemma2" ? 4096 : 0) << architecture;
  }
}

TEST(GgufConfig, AnUnknownKeyThatIsOffIsNamedInAWarning) {
  testing::internal::CaptureStderr();
  static_cast<void>(config_with("llama", {{"one_thing", 0}, {"another", false}}));
  const std::string lines = testing::internal::GetCapturedStderr();
  EXPECT_TRUE(test::contains_all(lines, {"off", "llama.another, llama.one_thing"})) << lines;
}

}  // namespace
}  // namespace gridmill
