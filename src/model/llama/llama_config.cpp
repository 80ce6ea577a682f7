#include <cmath>
#include <limits>

#include "gridmill/base/format.hpp"
#include "model/llama/llama_config_detail.hpp"

namespace gridmill::model_detail {

namespace {

Rotary read_rotary(const Json& json) {
  ConfigReader reader(json, "model configuration, rotary");
  Rotary rotary;
  static_cast<void>(reader.text("type"));
  rotary.type = reader.choice_or<RotaryType>("type", "",
                                             {{"default", RotaryType::plain},
                                              {"linear", RotaryType::linear},
                                              {"llama3", RotaryType::llama3}});
  rotary.theta = reader.number("theta", 1);
  // Fields that a type does not use are not read: finish() refuses them.
  if (rotary.type != RotaryType::plain) {
    rotary.factor = reader.number("factor", 0);
    if (rotary.factor <= 0) reader.fail("factor must be positive");
  }
  if (rotary.type == RotaryType::llama3) {
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

std::vector<std::int32_t> read_windows(ConfigReader& reader, int layers) {
  const std::vector<std::int64_t> listed = reader.integers_or_none("windows", 0);
  std::vector<std::int32_t> windows(static_cast<std::size_t>(layers), 0);
  if (listed.empty()) return windows;
  if (listed.size() != windows.size()) {
    reader.fail(fmt::format("windows has {} entries for {} layers", listed.size(), layers));
  }
  for (std::size_t i = 0; i < listed.size(); ++i) {
    // A window beyond every position is none.
    windows[i] = listed[i] > std::numeric_limits<std::int32_t>::max()
                     ? 0
                     : static_cast<std::int32_t>(listed[i]);
  }
  return windows;
}

}  // namespace

LlamaConfig read_llama_config(const Json& json) {
  ConfigReader reader(json, "model configuration");
  LlamaConfig config;
  config.common = read_common(reader);
  config.kv_heads = reader.size("kv_heads", 1);
  config.head_dim = reader.size("head_dim", 2);
  config.intermediate_size = reader.size("intermediate_size", 1);
  config.tied = reader.flag_or("tied", false);
  config.qkv_bias = reader.flag_or("qkv_bias", false);
  config.out_bias = reader.flag_or("out_bias", false);
  config.mlp_bias = reader.flag_or("mlp_bias", false);
  config.qk_norm = reader.flag_or("qk_norm", false);
  config.windows = read_windows(reader, config.common.layers);
  config.score_scale = static_cast<float>(
      reader.number_or("score_scale", 1 / std::sqrt(static_cast<double>(config.head_dim)), 0));
  config.activation =
      reader.choice_or<Activation>("activation", "silu", {{"silu", Activation::silu}});
  config.rotary = read_rotary(reader.object("rotary"));
  const bool self_only = reader.choice_or<bool>("generation_attention", "cached",
                                                {{"cached", false}, {"self_only", true}});
  // A token that sees only itself: the softmax over one key is 1 whatever its position.
  if (self_only) config.windows.assign(config.windows.size(), 1);
  reader.finish();

  if (config.common.heads % config.kv_heads != 0) {
    reader.fail(fmt::format("kv_heads = {} does not divide heads = {}", config.kv_heads,
                            config.common.heads));
  }
  if (config.head_dim % 2 != 0) {
    reader.fail(fmt::format("head_dim is {}, but rotation needs pairs", config.head_dim));
  }
  return config;
}

}  // namespace gridmill::model_detail
