#include "model/spec/older_configurations.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "gridmill/base/format.hpp"
#include "model/config_reader.hpp"

namespace gridmill::model_detail {

namespace {

/// Fields that both families have.
struct Common {
  std::int64_t layers = 0;
  std::int64_t heads = 0;
  double norm_eps = 0;
};

Common read_common(ConfigReader& reader, ModelSpec& spec) {
  spec.family = reader.text("family");
  const TokenFields tokens = read_token_fields(reader);
  spec.vocab_size = tokens.vocab_size;
  spec.bos_id = tokens.bos_id;
  spec.eod_ids = tokens.eod_ids;
  spec.max_length = tokens.max_length;
  spec.hidden_size = reader.size("hidden_size", 1);
  spec.head.soft_cap = reader.number_or("logit_soft_cap", 0, 0);
  return {.layers = reader.size("layers", 1),
          .heads = reader.size("heads", 1),
          .norm_eps = reader.number("norm_eps", 0)};
}

RotarySpec read_rotary(const Json& json, std::int64_t width) {
  ConfigReader reader(json, "model configuration, rotary");
  RotarySpec rotary{.width = width};
  static_cast<void>(reader.text("type"));
  rotary.scaling = reader.choice_or<RotaryScaling>("type", "",
                                                   {{"default", RotaryScaling::none},
                                                    {"linear", RotaryScaling::linear},
                                                    {"llama3", RotaryScaling::llama3}});
  rotary.theta = reader.number("theta", 1);
  // Fields that a type does not use are not read: finish() refuses them.
  if (rotary.scaling != RotaryScaling::none) {
    rotary.factor = reader.number("factor", 0);
    if (rotary.factor <= 0) reader.fail("factor must be positive");
  }
  if (rotary.scaling == RotaryScaling::llama3) {
    rotary.low_freq_factor = reader.number("low_freq_factor", 0);
    rotary.high_freq_factor = reader.number("high_freq_factor", 0);
    rotary.original_max_position = reader.number("original_max_position", 1);
    if (rotary.high_freq_factor <= rotary.low_freq_factor) {
      reader.fail("high_freq_factor must exceed low_freq_factor");
    }
  }
  reader.finish();
  return rotary;
}

/// Window of every layer, 0 = none.
std::vector<std::int64_t> read_windows(ConfigReader& reader, std::int64_t layers) {
  std::vector<std::int64_t> windows = reader.integers_or_none("windows", 0);
  if (windows.empty()) windows.assign(static_cast<std::size_t>(layers), 0);
  if (windows.size() != static_cast<std::size_t>(layers)) {
    reader.fail(fmt::format("windows has {} entries for {} layers", windows.size(), layers));
  }
  return windows;
}

ModelSpec read_llama(const Json& json) {
  ConfigReader reader(json, "model configuration");
  ModelSpec spec;
  const Common common = read_common(reader, spec);
  const NormSpec norm{.kind = NormKind::rms, .eps = common.norm_eps};
  spec.head.norm = norm;
  AttentionSpec attention;
  attention.heads = common.heads;
  attention.kv_heads = reader.size("kv_heads", 1);
  attention.head_width = reader.size("head_dim", 2);
  if (attention.head_width % 2 != 0) {
    reader.fail(fmt::format("head_dim is {}, but rotation needs pairs", attention.head_width));
  }
  FeedForwardSpec feed_forward;
  feed_forward.size = reader.size("intermediate_size", 1);
  spec.head.tied = reader.flag_or("tied", false);
  attention.qkv_bias = reader.flag_or("qkv_bias", false);
  attention.out_bias = reader.flag_or("out_bias", false);
  feed_forward.up_bias = reader.flag_or("mlp_bias", false);
  feed_forward.down_bias = feed_forward.up_bias;
  if (reader.flag_or("qk_norm", false)) attention.qk_norm = QkNormSpec{.norm = norm};
  std::vector<std::int64_t> windows = read_windows(reader, common.layers);
  attention.score_scale =
      reader.number_or("score_scale", 1 / std::sqrt(static_cast<double>(attention.head_width)), 0);
  feed_forward.activation =
      reader.choice_or<Activation>("activation", "silu", {{"silu", Activation::silu}});
  spec.rotary = {read_rotary(reader.object("rotary"), attention.head_width)};
  attention.rotary = 0;
  const bool self_only = reader.choice_or<bool>("generation_attention", "cached",
                                                {{"cached", false}, {"self_only", true}});
  // A token that sees only itself: the softmax over one key is 1 whatever its position.
  if (self_only) std::fill(windows.begin(), windows.end(), 1);
  reader.finish();
  for (const std::int64_t window : windows) {
    attention.window = window == 0 ? std::nullopt : std::optional(window);
    spec.layers.push_back(
        {.blocks = {{.norm = norm, .mixer = attention}, {.norm = norm, .mixer = feed_forward}}});
  }
  return spec;
}

NormKind read_norm(ConfigReader& reader, const std::string& name, const std::string& fallback) {
  return reader.choice_or<NormKind>(name, fallback,
                                    {{"rms", NormKind::rms}, {"layer", NormKind::layer}});
}

/// The mixer of an xlstm layer, but for its norms.
MlstmSpec read_mlstm(ConfigReader& reader, std::int64_t heads) {
  MlstmSpec mlstm;
  mlstm.heads = heads;
  mlstm.qk_size = reader.size("qk_dim", 1);
  mlstm.v_size = reader.size("v_dim", 1);
  if (mlstm.qk_size % heads != 0 || mlstm.v_size % heads != 0) {
    reader.fail(fmt::format("qk_dim = {} and v_dim = {} must be multiples of heads = {}",
                            mlstm.qk_size, mlstm.v_size, heads));
  }
  if (reader.choice_or<bool>("layer_type", "mlstm_v1", {{"mlstm_v1", false}, {"mlstm", true}})) {
    const int inner_size = reader.size("inner_size", 1);
    if (mlstm.qk_size != inner_size || mlstm.v_size != inner_size) {
      reader.fail(
          fmt::format("layer_type \"mlstm\" needs qk_dim = v_dim = inner_size, found {}, {}, {}",
                      mlstm.qk_size, mlstm.v_size, inner_size));
    }
    mlstm.older = OlderMlstmSpec{
        .conv_kernel = reader.size("conv_kernel", 1),
        .qkv_block_size = reader.size("qkv_block_size", 1),
        .gate_input = reader.choice_or<GateInput>("gate_input", "qkv",
                                                  {{"qkv", GateInput::qkv},
                                                   {"x", GateInput::x},
                                                   {"conv", GateInput::conv},
                                                   {"conv_act", GateInput::conv_act}})};
  }
  mlstm.denominator_eps = reader.number_or("denominator_eps", 1e-6, 0);
  mlstm.gate_soft_cap = reader.number_or("gate_soft_cap", 0, 0);
  return mlstm;
}

std::optional<FeedForwardSpec> read_feed_forward(ConfigReader& reader, bool bias) {
  enum class Kind : std::uint8_t { gated, plain, none };
  const Kind kind = reader.choice_or<Kind>(
      "ffn", "gated", {{"gated", Kind::gated}, {"plain", Kind::plain}, {"none", Kind::none}});
  FeedForwardSpec feed_forward{
      .size = reader.size_or("ffn_size", 0, 0),
      .gated = kind == Kind::gated,
      .activation = reader.choice_or<Activation>("activation", "silu",
                                                 {{"silu", Activation::silu},
                                                  {"gelu_tanh", Activation::gelu_tanh},
                                                  {"relu", Activation::relu},
                                                  {"relu_squared", Activation::relu_squared},
                                                  {"sigmoid", Activation::sigmoid},
                                                  {"selu", Activation::selu},
                                                  {"identity", Activation::identity}}),
      .up_bias = bias,
      .down_bias = bias};
  if ((kind == Kind::none) != (feed_forward.size == 0)) {
    reader.fail(
        fmt::format("ffn_size is {}, but it must be positive with a feed-forward and 0 "
                    "(or left out) with \"ffn\": \"none\"",
                    feed_forward.size));
  }
  if (kind == Kind::none) return std::nullopt;
  return feed_forward;
}

ModelSpec read_xlstm(const Json& json) {
  ConfigReader reader(json, "model configuration");
  ModelSpec spec;
  const Common common = read_common(reader, spec);
  MlstmSpec mlstm = read_mlstm(reader, common.heads);
  mlstm.bias = reader.flag_or("bias", false);
  const NormSpec plain{.kind = read_norm(reader, "norm", "rms"), .eps = common.norm_eps};
  NormSpec norm = plain;
  norm.bias = reader.flag_or("norm_bias", false);
  mlstm.head_norm = {
      .kind = read_norm(reader, "head_norm", "layer"), .eps = common.norm_eps, .bias = norm.bias};
  if (mlstm.older && (mlstm.bias || norm.bias)) {
    reader.fail("bias or norm_bias with layer_type \"mlstm\" is unsupported");
  }
  if (reader.flag_or("qk_norm", false)) mlstm.qk_norm = plain;
  const std::optional<NormSpec> post_norm =
      reader.flag_or("post_norm", false) ? std::optional(plain) : std::nullopt;
  const bool final_norm = reader.flag_or("final_norm", true);
  const NormSpec final{.kind = plain.kind,
                       .eps = reader.number_or("final_norm_eps", common.norm_eps, 0),
                       .bias = reader.flag_or("final_norm_bias", false)};
  if (final.bias && !final_norm) reader.fail("final_norm_bias without final_norm");
  if (final_norm) spec.head.norm = final;
  const std::optional<FeedForwardSpec> feed_forward = read_feed_forward(reader, mlstm.bias);
  reader.finish();

  LayerSpec layer;
  layer.blocks.push_back({.norm = norm, .mixer = mlstm, .post_norm = post_norm});
  if (feed_forward) {
    layer.blocks.push_back({.norm = norm, .mixer = *feed_forward, .post_norm = post_norm});
  }
  spec.layers.assign(static_cast<std::size_t>(common.layers), layer);
  return spec;
}

}  // namespace

ModelSpec read_older_configuration(const Json& config) {
  ConfigReader reader(config, "model configuration");
  const std::string family = reader.text("family");
  if (family == "llama") return read_llama(config);
  if (family == "xlstm") return read_xlstm(config);
  reader.unsupported("family", family, "llama, xlstm");
}

}  // namespace gridmill::model_detail
