#include "convert/families/decoder.hpp"
#include "convert/families/family.hpp"
#include "convert/families/rotary.hpp"
#include "gridmill/base/format.hpp"

// SmolLM 3: Llama without rotation in every fourth layer.
namespace gridmill::convert_detail {

namespace {

/// `no_rope_layers` is 1 where a layer rotates, despite its name.
std::vector<bool> read_rotating_layers(ConfigFields& config, std::int64_t layers) {
  const std::int64_t interval = config.size("no_rope_layer_interval", 4);
  std::vector<bool> rotates;
  const Json* list = config.value("no_rope_layers");
  if (list == nullptr || (list->is_array() && list->empty())) {
    for (std::int64_t layer = 0; layer < layers; ++layer) {
      rotates.push_back((layer + 1) % interval != 0);
    }
    return rotates;
  }
  if (!list->is_array() || list->size() != static_cast<std::size_t>(layers)) {
    config.fail("no_rope_layers", fmt::format("is no list of {} layers", layers));
  }
  for (const Json& entry : *list) {
    const bool number = entry.is_number_integer() && (entry == 0 || entry == 1);
    if (!number && !entry.is_boolean()) {
      config.fail("no_rope_layers", "holds something else than 0 and 1");
    }
    rotates.push_back(entry.is_boolean() ? entry.get<bool>() : entry == 1);
  }
  return rotates;
}

ModelSpec read_smollm3(ConfigFields& config) {
  const Decoder decoder =
      read_decoder(config, {.kv_heads = 4, .max_positions = 32768, .norm_eps = 1e-6, .tied = true});
  const NormSpec norm{.kind = NormKind::rms, .eps = decoder.norm_eps};
  ModelSpec spec = begin_model(decoder, norm);
  AttentionSpec attention = attention_of(decoder);
  const RotarySpec rotary =
      read_rotary(config, decoder.head_width, decoder.max_length, {.theta = 2e6});
  attention.qkv_bias = config.flag("attention_bias", false);
  attention.out_bias = attention.qkv_bias;
  const bool mlp_bias = config.flag("mlp_bias", false);
  const FeedForwardSpec ffn{.size = decoder.ffn_size,
                            .activation = read_activation(config, "hidden_act", "silu"),
                            .up_bias = mlp_bias,
                            .down_bias = mlp_bias};
  const std::vector<bool> rotates = read_rotating_layers(config, decoder.layers);
  std::optional<std::int64_t> window;
  if (config.flag("use_sliding_window", false)) window = read_window_size(config, std::nullopt);
  config.ignore({"sliding_window", "max_window_layers"});
  const auto windows = read_windows(config, decoder.layers, window, [&](std::int64_t layer) {
    return !rotates[static_cast<std::size_t>(layer)];
  });
  for (std::size_t layer = 0; layer < rotates.size(); ++layer) {
    attention.window = windows[layer];
    attention.rotary = std::nullopt;
    if (rotates[layer]) attention.rotary = rotary_index(spec, rotary);
    spec.layers.push_back(make_layer(LayerOrder::pre, norm, attention, ffn));
  }
  ignore_decoder_fields(config);
  return spec;
}

}  // namespace

Family smollm3_family() {
  return {.model_type = "smollm3",
          .architecture = "SmolLM3ForCausalLM",
          .tokens = {.bos = 128000, .eod = {128001}},
          .read = read_smollm3,
          .take = [](const WantedParameter& wanted) { return take_named(wanted, {}); }};
}

}  // namespace gridmill::convert_detail
