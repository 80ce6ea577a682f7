#include "gridmill/base/format.hpp"
#include "model/xlstm/xlstm_config_detail.hpp"

namespace gridmill::model_detail {

namespace {

NormKind read_norm(ConfigReader& reader, const std::string& name, const std::string& fallback) {
  return reader.choice_or<NormKind>(name, fallback,
                                    {{"rms", NormKind::rms}, {"layer", NormKind::layer}});
}

OlderLayer read_older_layer(ConfigReader& reader) {
  return {.inner_size = reader.size("inner_size", 1),
          .conv_kernel = reader.size("conv_kernel", 1),
          .qkv_block_size = reader.size("qkv_block_size", 1),
          .gate_input = reader.choice_or<GateInput>("gate_input", "qkv",
                                                    {{"qkv", GateInput::qkv},
                                                     {"x", GateInput::x},
                                                     {"conv", GateInput::conv},
                                                     {"conv_act", GateInput::conv_act}})};
}

void check_sizes(const ConfigReader& reader, const XlstmConfig& config) {
  const std::int64_t heads = config.common.heads;
  if (config.qk_dim % heads != 0 || config.v_dim % heads != 0) {
    reader.fail(fmt::format("qk_dim = {} and v_dim = {} must be multiples of heads = {}",
                            config.qk_dim, config.v_dim, heads));
  }
  if ((config.ffn == FeedForward::none) != (config.ffn_size == 0)) {
    reader.fail(
        fmt::format("ffn_size is {}, but it must be positive with a feed-forward and 0 "
                    "(or left out) with \"ffn\": \"none\"",
                    config.ffn_size));
  }
  if (config.final_norm_bias && !config.final_norm) {
    reader.fail("final_norm_bias without final_norm");
  }
  if (!config.older) return;
  const OlderLayer& older = config.older_layer;
  if (config.bias || config.norm_bias) {
    reader.fail("bias or norm_bias with layer_type \"mlstm\" is unsupported");
  }
  if (config.qk_dim != older.inner_size || config.v_dim != older.inner_size) {
    reader.fail(
        fmt::format("layer_type \"mlstm\" needs qk_dim = v_dim = inner_size, found {}, {}, "
                    "{}",
                    config.qk_dim, config.v_dim, older.inner_size));
  }
  if (older.inner_size % older.qkv_block_size != 0) {
    reader.fail(fmt::format("qkv_block_size = {} does not divide inner_size = {}",
                            older.qkv_block_size, older.inner_size));
  }
}

}  // namespace

XlstmConfig read_xlstm_config(const Json& json) {
  ConfigReader reader(json, "model configuration");
  XlstmConfig config;
  config.common = read_common(reader);
  config.qk_dim = reader.size("qk_dim", 1);
  config.v_dim = reader.size("v_dim", 1);
  config.older =
      reader.choice_or<bool>("layer_type", "mlstm_v1", {{"mlstm_v1", false}, {"mlstm", true}});
  if (config.older) config.older_layer = read_older_layer(reader);
  config.norm = read_norm(reader, "norm", "rms");
  config.head_norm = read_norm(reader, "head_norm", "layer");
  config.final_norm_eps = static_cast<float>(
      reader.number_or("final_norm_eps", static_cast<double>(config.common.norm_eps), 0));
  config.denominator_eps = static_cast<float>(reader.number_or("denominator_eps", 1e-6, 0));
  config.gate_soft_cap = static_cast<float>(reader.number_or("gate_soft_cap", 0, 0));
  config.bias = reader.flag_or("bias", false);
  config.norm_bias = reader.flag_or("norm_bias", false);
  config.final_norm = reader.flag_or("final_norm", true);
  config.final_norm_bias = reader.flag_or("final_norm_bias", false);
  config.qk_norm = reader.flag_or("qk_norm", false);
  config.post_norm = reader.flag_or("post_norm", false);
  config.ffn = reader.choice_or<FeedForward>(
      "ffn", "gated",
      {{"gated", FeedForward::gated}, {"plain", FeedForward::plain}, {"none", FeedForward::none}});
  config.ffn_size = reader.size_or("ffn_size", 0, 0);
  config.activation = reader.choice_or<Activation>("activation", "silu",
                                                   {{"silu", Activation::silu},
                                                    {"gelu_tanh", Activation::gelu_tanh},
                                                    {"relu", Activation::relu},
                                                    {"relu_squared", Activation::relu_squared},
                                                    {"sigmoid", Activation::sigmoid},
                                                    {"selu", Activation::selu},
                                                    {"identity", Activation::identity}});
  reader.finish();
  check_sizes(reader, config);
  return config;
}

}  // namespace gridmill::model_detail
