#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <string>

#include "gridmill/base/error.hpp"
#include "gridmill/model/model_spec.hpp"
#include "support/tiny_models.hpp"

namespace gridmill {
namespace {

NormSpec layer_norm() { return {.kind = NormKind::layer, .eps = 1e-5, .bias = true}; }

AttentionSpec attention(std::int64_t heads, std::int64_t kv_heads) {
  AttentionSpec spec;
  spec.heads = heads;
  spec.kv_heads = kv_heads;
  spec.head_width = 8;
  return spec;
}

/// Every switch away from its default somewhere.
ModelSpec full_spec() {
  AttentionSpec windowed = attention(8, 2);
  windowed.rotary = 0;
  windowed.window = 5;
  windowed.score_scale = 0.3;
  windowed.score_cap = 50;
  windowed.clip_qkv = 8;
  windowed.qk_norm = QkNormSpec{.scope = QkNormScope::each_head, .norm = {.kind = NormKind::layer}};
  windowed.sinks = true;
  windowed.output_gate = true;
  windowed.qkv_bias = true;
  windowed.out_bias = true;
  const FeedForwardSpec plain{.size = 20,
                              .gated = false,
                              .activation = Activation::relu_squared,
                              .up_bias = true,
                              .down_bias = true};
  const ExpertsSpec experts{.experts = 6,
                            .per_token = 2,
                            .size = 12,
                            .kind = ExpertKind::clamped,
                            .limit = 5,
                            .router_weights = RouterWeights::softmax_chosen,
                            .router_bias = true,
                            .bias = true,
                            .shared_size = 16,
                            .shared_gate = true};
  MlstmSpec mlstm;
  mlstm.heads = 4;
  mlstm.qk_size = 16;
  mlstm.v_size = 32;
  mlstm.head_norm = layer_norm();
  mlstm.qk_norm = NormSpec{.eps = 1e-3};
  mlstm.gate_soft_cap = 15;
  mlstm.bias = true;

  ModelSpec spec;
  spec.family = "patchwork";
  spec.vocab_size = 300;
  spec.hidden_size = 24;
  spec.max_length = 64;
  spec.bos_id = 1;
  spec.eod_ids = {2, 3};
  spec.embedding = {.scale = 4.5, .positions = 64};
  spec.rotary = {{.width = 4, .scaling = RotaryScaling::yarn, .factor = 4, .magnitude = 1.14},
                 {.width = 4,
                  .scaling = RotaryScaling::longrope,
                  .short_factors = {1, 1.5},
                  .long_factors = {2, 9}}};
  const LayerSpec parallel = {
      {{.norm = layer_norm(), .input_scale = 0.5, .mixer = windowed, .residual_scale = 0.22},
       {.input = BlockInput::same_normed, .mixer = plain, .residual_scale = 0.22}}};
  const LayerSpec post = {{{.norm = std::nullopt, .mixer = mlstm, .post_norm = NormSpec{}},
                           {.input = BlockInput::beside,
                            .norm = NormSpec{},
                            .mixer = experts,
                            .post_norm = layer_norm()}}};
  spec.layers = {parallel, post, parallel};
  spec.head = {.norm = layer_norm(), .bias = true, .scale = 0.0625, .soft_cap = 30, .tied = true};
  return spec;
}

std::string refusal(const Json& config) {
  try {
    static_cast<void>(read_model_spec(config));
  } catch (const FormatError& error) {
    return error.what();
  }
  return "";
}

std::string refusal(const std::function<void(ModelSpec&)>& change) {
  ModelSpec spec = full_spec();
  change(spec);
  return refusal(to_json(spec));
}

::testing::AssertionResult mentions(const std::string& text, const std::string& word) {
  if (text.find(word) != std::string::npos) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << '"' << text << "\" does not mention " << word;
}

TEST(ModelSpecJson, ReadsBackWhatItWrote) {
  const ModelSpec spec = full_spec();
  EXPECT_EQ(read_model_spec(to_json(spec)), spec);
  EXPECT_EQ(read_model_spec(Json::parse(to_json(spec).dump())), spec);
}

TEST(ModelSpecJson, WritesEqualLayersOnce) {
  const Json json = to_json(full_spec());
  EXPECT_EQ(json.at("layer_kinds").size(), 2U);
  EXPECT_EQ(json.at("layers"), Json({0, 1, 0}));
}

TEST(ModelSpecJson, ConfigurationsWithoutFormatHaveADescriptionToo) {
  for (const test::TinyModel& tiny : test::tiny_models()) {
    const ModelSpec spec = read_model_spec(tiny.config);
    EXPECT_EQ(read_model_spec(to_json(spec)), spec) << tiny.name;
  }
}

TEST(ModelSpecJson, NamesAFieldThatNobodyKnows) {
  Json json = to_json(full_spec());
  json["layer_kinds"][0]["blocks"][0]["attention"]["colour"] = "red";
  EXPECT_TRUE(mentions(refusal(json), "colour"));
  EXPECT_TRUE(mentions(refusal(json), "layer_kinds[0].blocks[0]"));
}

TEST(ModelSpecJson, SaysThatANewerProgramWroteIt) {
  Json json = to_json(full_spec());
  json["format"] = kModelFormat + 1;
  EXPECT_TRUE(mentions(refusal(json), "newer gridmill"));
}

TEST(ModelSpecJson, NeedsExactlyOneMixerABlock) {
  Json json = to_json(full_spec());
  Json& block = json["layer_kinds"][0]["blocks"][1];
  block["attention"] = json["layer_kinds"][0]["blocks"][0]["attention"];
  EXPECT_TRUE(mentions(refusal(json), "2 mixers"));
  block.erase("attention");
  block.erase("feed_forward");
  EXPECT_TRUE(mentions(refusal(json), "0 mixers"));
}

AttentionSpec& first_attention(ModelSpec& spec) {
  return std::get<AttentionSpec>(spec.layers[0].blocks[0].mixer);
}
ExpertsSpec& experts_of(ModelSpec& spec) {
  return std::get<ExpertsSpec>(spec.layers[1].blocks[1].mixer);
}

TEST(ModelSpecJson, RefusesContradictionsByField) {
  EXPECT_EQ(refusal([](ModelSpec&) {}), "");
  EXPECT_TRUE(mentions(refusal([](ModelSpec& s) { first_attention(s).window = 0; }), "window"));
  EXPECT_TRUE(mentions(refusal([](ModelSpec& s) { first_attention(s).kv_heads = 3; }), "kv_heads"));
  EXPECT_TRUE(mentions(refusal([](ModelSpec& s) { first_attention(s).rotary = 2; }), "rotary"));
  EXPECT_TRUE(mentions(refusal([](ModelSpec& s) { s.rotary[0].width = 10; }), "head_width"));
  EXPECT_TRUE(mentions(refusal([](ModelSpec& s) { s.rotary[0].width = 3; }), "pairs"));
  EXPECT_TRUE(mentions(refusal([](ModelSpec& s) { s.rotary[1].long_factors.push_back(1); }),
                       "long_factors"));
  EXPECT_TRUE(mentions(refusal([](ModelSpec& s) { experts_of(s).experts = 0; }), "experts"));
  EXPECT_TRUE(mentions(refusal([](ModelSpec& s) { experts_of(s).per_token = 7; }), "per_token"));
  EXPECT_TRUE(
      mentions(refusal([](ModelSpec& s) { experts_of(s).shared_size = 0; }), "shared_gate"));
  EXPECT_TRUE(
      mentions(refusal([](ModelSpec& s) { s.layers[1].blocks[0].input = BlockInput::beside; }),
               "first block"));
  EXPECT_TRUE(mentions(refusal([](ModelSpec& s) { s.layers[0].blocks[1].norm = NormSpec{}; }),
                       "same_normed"));
  EXPECT_TRUE(mentions(
      refusal([](ModelSpec& s) { s.layers[1].blocks[1].mixer = s.layers[1].blocks[0].mixer; }),
      "another mixer of its kind"));
  EXPECT_EQ(refusal([](ModelSpec& s) { s.layers[1].blocks[1].mixer = attention(2, 2); }), "");
  EXPECT_TRUE(mentions(refusal([](ModelSpec& s) { s.layers[2].blocks.clear(); }), "no blocks"));
  EXPECT_TRUE(mentions(refusal([](ModelSpec& s) { s.layers.clear(); }), "layers"));
  EXPECT_TRUE(mentions(refusal([](ModelSpec& s) { s.max_length = 65; }), "positions"));
  EXPECT_TRUE(mentions(refusal([](ModelSpec& s) { s.head.norm.reset(); }), "head.scale"));
}

LinearRecurrenceSpec recurrence() {
  LinearRecurrenceSpec spec;
  spec.heads = 8;
  spec.key_heads = 2;
  spec.key_width = 6;
  spec.value_width = 4;
  spec.update = RecurrenceUpdate::delta;
  spec.conv_kernel = 4;
  spec.conv_bias = true;
  spec.l2_norm_eps = 1e-6;
  spec.query_scale = 0.4;
  spec.skip = true;
  spec.norm = RecurrenceNormSpec{.norm = {.eps = 1e-5}, .groups = 8, .shared_weight = true};
  spec.gate_first = true;
  spec.bias = true;
  spec.scales = RecurrenceScales{.q = 0.6, .k = 0.7, .v = 0.5, .gate = 0.35, .decay = 0.4};
  return spec;
}

ModelSpec recurrent_spec(const Mixer& mixer) {
  ModelSpec spec = full_spec();
  spec.layers[1].blocks[0].mixer = mixer;
  return spec;
}

std::string refusal_of(const std::function<void(LinearRecurrenceSpec&)>& change) {
  LinearRecurrenceSpec spec = recurrence();
  change(spec);
  return refusal(to_json(recurrent_spec(spec)));
}

TEST(ModelSpecJson, ReadsBackRecurrentLayers) {
  const SlstmSpec slstm{.heads = 3,
                        .conv_kernel = 5,
                        .head_norm = {.kind = NormKind::layer, .eps = 1e-5},
                        .norm_weight = false};
  MlstmSpec older;
  older.heads = 4;
  older.qk_size = 32;
  older.v_size = 32;
  older.older = OlderMlstmSpec{.conv_kernel = 4, .history = true, .qkv_block_size = 4};
  const FeedForwardSpec scaled{.size = 20, .gate_scale = 0.88};
  for (const Mixer& mixer : {Mixer(recurrence()), Mixer(slstm), Mixer(older), Mixer(scaled)}) {
    ModelSpec spec = recurrent_spec(mixer);
    if (std::holds_alternative<FeedForwardSpec>(mixer)) spec.layers[1].blocks.pop_back();
    EXPECT_EQ(read_model_spec(to_json(spec)), spec);
  }
}

TEST(ModelSpecJson, LeavesOutWhatOlderProgramsDoNotKnowUnlessItIsUsed) {
  const Json json = to_json(full_spec());
  EXPECT_FALSE(json["layer_kinds"][0]["blocks"][1]["feed_forward"].contains("gate_scale"));
}

TEST(ModelSpecJson, RefusesContradictionsOfARecurrence) {
  EXPECT_EQ(refusal_of([](LinearRecurrenceSpec&) {}), "");
  EXPECT_TRUE(mentions(refusal_of([](auto& r) { r.key_heads = 3; }), "key_heads"));
  EXPECT_TRUE(mentions(refusal_of([](auto& r) { r.conv_kernel = 9; }), "conv_kernel"));
  EXPECT_TRUE(mentions(refusal_of([](auto& r) { r.norm->groups = 3; }), "norm.groups"));
  EXPECT_TRUE(mentions(refusal_of([](auto& r) { r.norm.reset(); }), "gate_first"));
  EXPECT_TRUE(mentions(refusal_of([](auto& r) { r.norm->norm.bias = true; }), "bias"));
  EXPECT_TRUE(mentions(refusal(to_json(recurrent_spec(SlstmSpec{.heads = 5, .head_norm = {}}))),
                       "hidden_size"));
  EXPECT_TRUE(mentions(
      refusal(to_json(recurrent_spec(SlstmSpec{.heads = 3, .conv_kernel = 9, .head_norm = {}}))),
      "taps"));
}

TEST(ModelSpecJson, RefusesNumbersThatAreNotFinite) {
  Json json = to_json(full_spec());
  json["embedding"]["scale"] = std::numeric_limits<double>::infinity();
  EXPECT_TRUE(mentions(refusal(json), "scale"));
  json = to_json(full_spec());
  json["layer_kinds"][0]["blocks"][0]["residual_scale"] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(mentions(refusal(json), "residual_scale"));
}

}  // namespace
}  // namespace gridmill
