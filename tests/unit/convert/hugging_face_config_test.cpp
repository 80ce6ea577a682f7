#include <gtest/gtest.h>

#include <cctype>
#include <cmath>
#include <string>
#include <vector>

#include "convert/hugging_face_detail.hpp"
#include "gridmill/model/model.hpp"
#include "unit/convert/support.hpp"

namespace gridmill {
namespace {

using convert_detail::ConfigFields;
using convert_detail::hugging_face_family;
using convert_detail::read_family;
using convert_detail::set_token_ids;
using convert_detail::xlstm_form;
using convert_detail::xlstm_model;
using convert_detail::xlstm_tokens;
using test::contains_all;
using test::Outcome;
using test::outcome_of;
using test::TinyLlama;

/// gridmill's configuration for a config.json; the model must accept it.
Json translated(const Json& config_json, const Json& generation = Json()) {
  ConfigFields config(config_json, "config.json");
  const convert_detail::Family* family = hugging_face_family(config);
  Json model = family != nullptr ? to_json(read_family(config, *family))
                                 : xlstm_model(config, xlstm_form(config));
  set_token_ids(model, config,
                family != nullptr ? family->tokens : xlstm_tokens(xlstm_form(config)), generation,
                "generation_config.json");
  EXPECT_EQ(config.unread(), std::vector<std::string>()) << "a field that nobody looked at";
  static_cast<void>(make_model(model));
  return model;
}

ModelSpec described(const Json& config_json, const Json& generation = Json()) {
  return read_model_spec(translated(config_json, generation));
}

/// Attention of layer `layer`, its first block.
AttentionSpec attention_in(const ModelSpec& spec, std::size_t layer = 0) {
  return std::get<AttentionSpec>(spec.layers.at(layer).blocks.at(0).mixer);
}
FeedForwardSpec feed_forward_in(const ModelSpec& spec) {
  return std::get<FeedForwardSpec>(spec.layers.at(0).blocks.at(1).mixer);
}
/// Windows of all layers, 0 = none.
std::vector<std::int64_t> windows_of(const ModelSpec& spec) {
  std::vector<std::int64_t> windows;
  for (std::size_t i = 0; i < spec.layers.size(); ++i) {
    windows.push_back(attention_in(spec, i).window.value_or(0));
  }
  return windows;
}
using Windows = std::vector<std::int64_t>;

Json llama_with(const Json& changes) {
  Json config = TinyLlama().config;
  config.update(changes);
  return config;
}

Json xlstm_with(const Json& changes) {
  Json config = {{"model_type", "xlstm"}, {"vocab_size", 32},       {"hidden_size", 64},
                 {"num_heads", 4},        {"num_hidden_layers", 2}, {"bos_token_id", 0},
                 {"eos_token_id", 2}};
  config.update(changes);
  return config;
}

TEST(LlamaConfig, RotarySettingsAreReadInBothSpellings) {
  const RotarySpec linear{.width = 2, .theta = 5000, .scaling = RotaryScaling::linear, .factor = 4};
  EXPECT_EQ(described(llama_with({{"rope_theta", 5000.0},
                                  {"rope_scaling", {{"type", "linear"}, {"factor", 4.0}}}}))
                .rotary,
            std::vector{linear});
  Json five = llama_with(
      {{"rope_parameters", {{"rope_theta", 5000.0}, {"rope_type", "linear"}, {"factor", 4.0}}}});
  five.erase("rope_theta");
  EXPECT_EQ(described(five).rotary, std::vector{linear});
}

TEST(LlamaConfig, Llama3RotaryHasAllItsNumbers) {
  const RotarySpec expected{.width = 2,
                            .theta = 10000,
                            .scaling = RotaryScaling::llama3,
                            .factor = 8,
                            .low_freq_factor = 1,
                            .high_freq_factor = 4,
                            .original_max_position = 4096};
  Json scaling = {{"rope_type", "llama3"},
                  {"factor", 8.0},
                  {"low_freq_factor", 1.0},
                  {"high_freq_factor", 4.0},
                  {"original_max_position_embeddings", 4096}};
  EXPECT_EQ(described(llama_with({{"rope_scaling", scaling}})).rotary, std::vector{expected});
  scaling.erase("original_max_position_embeddings");
  EXPECT_EQ(
      described(llama_with({{"rope_scaling", scaling}, {"original_max_position_embeddings", 4096}}))
          .rotary,
      std::vector{expected})
      << "beside the rotary object";
}

TEST(LlamaConfig, YarnHasItsDefaultsAndItsAttentionFactor) {
  Json scaling = {{"type", "yarn"}, {"factor", 4.0}, {"attn_factor", 3.0}, {"finetuned", true}};
  RotarySpec yarn = described(llama_with({{"rope_scaling", scaling}})).rotary.at(0);
  EXPECT_EQ(yarn.scaling, RotaryScaling::yarn);
  EXPECT_EQ(yarn.beta_fast, 32);
  EXPECT_EQ(yarn.beta_slow, 1);
  EXPECT_TRUE(yarn.truncate);
  EXPECT_EQ(yarn.original_max_position, 64) << "the longest row";
  EXPECT_NEAR(yarn.magnitude, 0.1 * std::log(4.0) + 1, 1e-12);
  scaling["mscale"] = 0.5;
  scaling["mscale_all_dim"] = 2.0;
  yarn = described(llama_with({{"rope_scaling", scaling}})).rotary.at(0);
  EXPECT_NEAR(yarn.magnitude, (0.05 * std::log(4.0) + 1) / (0.2 * std::log(4.0) + 1), 1e-12);
  scaling["attention_factor"] = 1.25;
  EXPECT_EQ(described(llama_with({{"rope_scaling", scaling}})).rotary.at(0).magnitude, 1.25);
}

TEST(LlamaConfig, HeadWidthMayDifferFromItsShare) {
  EXPECT_EQ(attention_in(described(llama_with({{"head_dim", 6}}))).head_width, 6);
  EXPECT_EQ(attention_in(described(llama_with({{"head_dim", nullptr}}))).head_width, 2);
}

TEST(LlamaConfig, MissingKeyValueHeadsMeanAllHeads) {
  Json config = llama_with(Json::object());
  config.erase("num_key_value_heads");
  EXPECT_EQ(attention_in(described(config)).kv_heads, 4);
}

TEST(LlamaConfig, BiasesFollowTheFamily) {
  const ModelSpec llama = described(llama_with({{"attention_bias", true}, {"mlp_bias", true}}));
  EXPECT_TRUE(attention_in(llama).qkv_bias && attention_in(llama).out_bias);
  EXPECT_TRUE(feed_forward_in(llama).up_bias && feed_forward_in(llama).down_bias);
  const AttentionSpec qwen2 =
      attention_in(described(llama_with({{"model_type", "qwen2"}, {"architectures", nullptr}})));
  EXPECT_TRUE(qwen2.qkv_bias && !qwen2.out_bias);
  const AttentionSpec qwen3 = attention_in(described(llama_with(
      {{"model_type", "qwen3"}, {"architectures", nullptr}, {"attention_bias", false}})));
  EXPECT_FALSE(qwen3.qkv_bias);
  ASSERT_TRUE(qwen3.qk_norm);
  EXPECT_EQ(qwen3.qk_norm->scope, QkNormScope::head);
}

TEST(LlamaConfig, MistralLooksThroughItsWindowInEveryLayer) {
  const Json base = {{"model_type", "mistral"}, {"architectures", {"MistralForCausalLM"}}};
  Json config = llama_with(base);
  config["sliding_window"] = 8;
  EXPECT_EQ(windows_of(described(config)), (Windows{8, 8}));
  config["sliding_window"] = nullptr;
  EXPECT_EQ(windows_of(described(config)), (Windows{0, 0}));
  config.erase("sliding_window");
  EXPECT_EQ(windows_of(described(config)), (Windows{4096, 4096})) << "the default of transformers";
}

TEST(LlamaConfig, QwenWindowsAreOffUnlessAskedFor) {
  Json config = llama_with({{"model_type", "qwen2"},
                            {"architectures", {"Qwen2ForCausalLM"}},
                            {"sliding_window", 16},
                            {"max_window_layers", 1}});
  EXPECT_EQ(windows_of(described(config)), (Windows{0, 0}));
  config["use_sliding_window"] = true;
  EXPECT_EQ(windows_of(described(config)), (Windows{0, 16}));
  config["layer_types"] = {"sliding_attention", "full_attention"};
  EXPECT_EQ(windows_of(described(config)), (Windows{16, 0}));
}

TEST(LlamaConfig, TokenIdsMayBeMissingNullOrLists) {
  Json config = llama_with({{"eos_token_id", {2, 3}}});
  EXPECT_EQ(translated(config).at("eod_ids"), Json::array({2, 3}));
  config["eos_token_id"] = nullptr;
  config["bos_token_id"] = nullptr;
  EXPECT_EQ(translated(config).at("eod_ids"), Json::array());
  EXPECT_EQ(translated(config).at("bos_id"), -1);
  EXPECT_EQ(translated(config, {{"eos_token_id", 7}}).at("eod_ids"), Json::array({7}));
  config.erase("eos_token_id");
  config.erase("bos_token_id");
  EXPECT_EQ(translated(config).at("eod_ids"), Json::array({2})) << "the default of transformers";
  EXPECT_EQ(translated(config).at("bos_id"), 1);
}

TEST(LlamaConfig, IdsOutsideTheVocabularyAreLeftOut) {
  const Json config = llama_with({{"eos_token_id", {2, 99}}, {"bos_token_id", 16}});
  EXPECT_EQ(translated(config).at("eod_ids"), Json::array({2}));
  EXPECT_EQ(translated(config).at("bos_id"), -1);
}

TEST(LlamaConfig, FieldsOfTrainingAndLoadingAreKnownToBeHarmless) {
  EXPECT_EQ(translated(llama_with({{"attention_dropout", 0.1},
                                   {"initializer_range", 0.02},
                                   {"pretraining_tp", 2},
                                   {"torch_dtype", "bfloat16"},
                                   {"transformers_version", "4.48.0"},
                                   {"use_cache", true},
                                   {"pad_token_id", nullptr}}))
                .at("family"),
            "llama");
}

TEST(XlstmConfig, DefaultsAreThoseOfTheReference) {
  const Json model = translated({{"model_type", "xlstm"}});
  EXPECT_EQ(model.at("vocab_size"), 50304);
  EXPECT_EQ(model.at("hidden_size"), 4096);
  EXPECT_EQ(model.at("layers"), 32);
  EXPECT_EQ(model.at("heads"), 8);
  EXPECT_EQ(model.at("qk_dim"), 2048);
  EXPECT_EQ(model.at("v_dim"), 4096);
  EXPECT_EQ(model.at("ffn_size"), 10944);
  EXPECT_EQ(model.at("gate_soft_cap"), 15.0);
  EXPECT_EQ(model.at("logit_soft_cap"), 30.0);
  EXPECT_EQ(model.at("bos_id"), 0);
  EXPECT_EQ(model.at("eod_ids"), Json::array({2}));
  EXPECT_EQ(model.at("max_length"), 0) << "recurrent: no limit of its own";
}

TEST(XlstmConfig, SizesHaveTwoNames) {
  Json config = xlstm_with({{"embedding_dim", 64}, {"num_blocks", 2}});
  const Json both = translated(config);
  config.erase("hidden_size");
  config.erase("num_hidden_layers");
  EXPECT_EQ(translated(config), both);
  config["hidden_size"] = 128;
  const Outcome outcome = outcome_of([&] { return translated(config); });
  EXPECT_TRUE(contains_all(outcome.message, {"embedding_dim", "64", "128"})) << outcome.message;
}

TEST(XlstmConfig, NullCapsMeanNoCaps) {
  const Json model =
      translated(xlstm_with({{"gate_soft_cap", nullptr}, {"output_logit_soft_cap", nullptr}}));
  EXPECT_EQ(model.at("gate_soft_cap"), 0);
  EXPECT_EQ(model.at("logit_soft_cap"), 0);
}

TEST(XlstmConfig, TheFeedForwardWidthIsRoundedAsTheReferenceDoes) {
  // 128.5 exceeds a multiple of 64 by less than one: it does not round up.
  EXPECT_EQ(translated(xlstm_with({{"ffn_proj_factor", 128.5 / 64}})).at("ffn_size"), 128);
  EXPECT_EQ(translated(xlstm_with({{"ffn_proj_factor", 129.0 / 64}})).at("ffn_size"), 192);
}

TEST(XlstmConfig, FieldsThatChooseKernelsAreHarmless) {
  EXPECT_EQ(translated(xlstm_with({{"chunkwise_kernel", "any"},
                                   {"step_kernel", "any"},
                                   {"autocast_kernel_dtype", "float32"},
                                   {"tie_word_embeddings", true}}))
                .at("final_norm"),
            true);
}

TEST(XlstmConfig, NxAiFoldersHaveNoModelType) {
  Json config = {{"embedding_dim", 64}, {"num_blocks", 2},           {"num_heads", 4},
                 {"vocab_size", 32},    {"use_bias", true},          {"add_out_norm", true},
                 {"mode", "inference"}, {"return_last_states", true}};
  Json model = translated(config);
  EXPECT_EQ(model.at("final_norm_bias"), true);
  EXPECT_EQ(model.at("bos_id"), -1);
  config["add_out_norm"] = false;
  model = translated(config);
  EXPECT_EQ(model.at("final_norm"), false);
  EXPECT_EQ(model.at("final_norm_bias"), false);
}

struct BadConfig {
  const char* what;
  Json config;
  std::vector<std::string> message;
};
class BadHuggingFaceConfig : public testing::TestWithParam<BadConfig> {};

TEST_P(BadHuggingFaceConfig, IsAFormatErrorThatNamesTheField) {
  const Outcome outcome = outcome_of([] { return translated(GetParam().config); });
  EXPECT_EQ(outcome.code, ExitCode::bad_input) << GetParam().what;
  EXPECT_TRUE(contains_all(outcome.message, {"config.json"})) << outcome.message;
  EXPECT_TRUE(contains_all(outcome.message, GetParam().message)) << outcome.message;
}

INSTANTIATE_TEST_SUITE_P(
    Table, BadHuggingFaceConfig,
    testing::Values(
        BadConfig{"no object", Json::array(), {"object"}},
        BadConfig{"unknown model", {{"model_type", "bert"}}, {"bert", "unsupported", "gemma2"}},
        BadConfig{"no model type", {{"vocab_size", 3}}, {"model_type", "missing"}},
        BadConfig{"another task",
                  llama_with({{"architectures", {"LlamaForSequenceClassification"}}}),
                  {"LlamaForSequenceClassification", "unsupported"}},
        BadConfig{"yarn without a factor",
                  llama_with({{"rope_scaling", {{"rope_type", "yarn"}}}}),
                  {"factor", "missing"}},
        BadConfig{"longrope with too few factors",
                  llama_with({{"rope_scaling",
                               {{"rope_type", "longrope"},
                                {"factor", 2.0},
                                {"short_factor", Json::array({1.0, 1.0})},
                                {"long_factor", Json::array({1.0})}}}}),
                  {"short_factor", "1"}},
        BadConfig{"dynamic, old spelling",
                  llama_with({{"rope_scaling", {{"type", "dynamic"}, {"factor", 2.0}}}}),
                  {"dynamic", "unsupported"}},
        BadConfig{"rope without a type",
                  llama_with({{"rope_scaling", {{"factor", 2.0}}}}),
                  {"type", "missing"}},
        BadConfig{"linear without a factor",
                  llama_with({{"rope_scaling", {{"rope_type", "linear"}}}}),
                  {"factor", "missing"}},
        BadConfig{
            "unknown rope field",
            llama_with({{"rope_scaling", {{"rope_type", "linear"}, {"factor", 2}, {"beta", 1}}}}),
            {"beta", "unsupported"}},
        BadConfig{"partial rotary",
                  llama_with({{"rope_parameters",
                               {{"rope_type", "default"}, {"partial_rotary_factor", 0.5}}}}),
                  {"partial_rotary_factor", "unsupported"}},
        BadConfig{"mish", llama_with({{"hidden_act", "mish"}}), {"mish", "unsupported"}},
        BadConfig{"soft cap of another family",
                  llama_with({{"final_logit_softcapping", 30.0}}),
                  {"final_logit_softcapping", "unsupported"}},
        BadConfig{"scaled residuals",
                  llama_with({{"residual_multiplier", 0.2}}),
                  {"residual_multiplier", "unsupported"}},
        BadConfig{"heads do not divide",
                  llama_with({{"num_key_value_heads", 3}}),
                  {"num_key_value_heads", "3", "4"}},
        BadConfig{"width does not divide",
                  llama_with({{"num_attention_heads", 3}, {"num_key_value_heads", 3}}),
                  {"hidden_size", "head_dim"}},
        BadConfig{"size is text", llama_with({{"hidden_size", "64"}}), {"hidden_size", "integer"}},
        BadConfig{"size is negative", llama_with({{"vocab_size", -1}}), {"vocab_size", "-1"}},
        BadConfig{"size is absurd",
                  llama_with({{"num_hidden_layers", 100000000}}),
                  {"num_hidden_layers", "100000000"}},
        BadConfig{"size is larger than 64 bits",
                  llama_with({{"vocab_size", 18446744073709551615U}}),
                  {"vocab_size"}},
        BadConfig{"eps is zero", llama_with({{"rms_norm_eps", 0}}), {"rms_norm_eps"}},
        BadConfig{
            "flag is a number", llama_with({{"tie_word_embeddings", 1}}), {"tie_word_embeddings"}},
        BadConfig{"token id is text", llama_with({{"eos_token_id", "2"}}), {"eos_token_id"}},
        BadConfig{"layer types of another length",
                  llama_with({{"layer_types", {"full_attention"}}}),
                  {"layer_types", "2"}},
        BadConfig{"unknown layer type",
                  llama_with({{"layer_types", {"full_attention", "linear_attention"}}}),
                  {"linear_attention", "unsupported"}},
        BadConfig{"a window that is switched off",
                  llama_with({{"layer_types", {"full_attention", "sliding_attention"}}}),
                  {"sliding_attention", "off"}},
        BadConfig{"bias that mistral has not",
                  llama_with({{"model_type", "mistral"},
                              {"architectures", nullptr},
                              {"attention_bias", true}}),
                  {"attention_bias", "unsupported"}},
        BadConfig{"heads do not divide xlstm", xlstm_with({{"num_heads", 5}}), {"qk_dim_factor"}},
        BadConfig{"unknown weight mode",
                  xlstm_with({{"weight_mode", "triple"}}),
                  {"triple", "unsupported"}},
        BadConfig{"negative cap", xlstm_with({{"gate_soft_cap", -3.0}}), {"gate_soft_cap"}},
        BadConfig{"feed-forward of no width",
                  xlstm_with({{"ffn_proj_factor", 1e-9}, {"ffn_round_up_to_multiple_of", 1}}),
                  {"ffn_proj_factor"}}),
    [](const auto& instance) {
      std::string name = instance.param.what;
      for (char& letter : name) {
        if (std::isalnum(static_cast<unsigned char>(letter)) == 0) letter = '_';
      }
      return name;
    });

}  // namespace
}  // namespace gridmill
