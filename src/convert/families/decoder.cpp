#include "convert/families/decoder.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "convert/foreign_model_detail.hpp"
#include "convert/hugging_face_detail.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill::convert_detail {

Decoder read_decoder(ConfigFields& config, const DecoderDefaults& defaults) {
  Decoder decoder;
  decoder.vocab_size = config.size("vocab_size", defaults.vocab_size);
  decoder.hidden_size = config.size("hidden_size");
  decoder.layers = config.size("num_hidden_layers");
  decoder.heads = config.size("num_attention_heads", defaults.heads);
  decoder.kv_heads = config.size("num_key_value_heads", defaults.kv_heads.value_or(decoder.heads));
  decoder.ffn_size = config.size("intermediate_size");
  decoder.max_length = config.size("max_position_embeddings", defaults.max_positions);
  decoder.norm_eps = config.positive(defaults.norm_eps_field, defaults.norm_eps);
  decoder.tied = config.flag("tie_word_embeddings", defaults.tied);
  if (decoder.layers > kMostLayers) {
    config.fail("num_hidden_layers", fmt::format("is {}", decoder.layers));
  }
  std::int64_t head_width = defaults.head_width;
  if (head_width == 0) {
    if (!config.given("head_dim") && decoder.hidden_size % decoder.heads != 0) {
      config.fail("hidden_size", fmt::format("is {}, which {} heads do not divide, and head_dim is "
                                             "missing",
                                             decoder.hidden_size, decoder.heads));
    }
    head_width = decoder.hidden_size / decoder.heads;
  }
  decoder.head_width = config.size("head_dim", std::max<std::int64_t>(1, head_width));
  if (decoder.heads % decoder.kv_heads != 0) {
    config.fail("num_key_value_heads", fmt::format("is {}, which does not divide {} heads",
                                                   decoder.kv_heads, decoder.heads));
  }
  return decoder;
}

ModelSpec begin_model(const Decoder& decoder, const NormSpec& norm) {
  ModelSpec spec;
  spec.vocab_size = decoder.vocab_size;
  spec.hidden_size = decoder.hidden_size;
  spec.max_length = decoder.max_length;
  spec.head.norm = norm;
  spec.head.tied = decoder.tied;
  return spec;
}

AttentionSpec attention_of(const Decoder& decoder) {
  AttentionSpec attention;
  attention.heads = decoder.heads;
  attention.kv_heads = decoder.kv_heads;
  attention.head_width = decoder.head_width;
  attention.score_scale = 1 / std::sqrt(static_cast<double>(decoder.head_width));
  return attention;
}

std::int64_t rotary_index(ModelSpec& spec, const RotarySpec& rotary) {
  const auto found = std::find(spec.rotary.begin(), spec.rotary.end(), rotary);
  const auto index = found - spec.rotary.begin();
  if (found == spec.rotary.end()) spec.rotary.push_back(rotary);
  return index;
}

LayerSpec make_layer(LayerOrder order, const NormSpec& norm, Mixer attention, Mixer feed_forward,
                     double residual_scale) {
  BlockSpec first;
  first.mixer = std::move(attention);
  first.residual_scale = residual_scale;
  BlockSpec second;
  second.mixer = std::move(feed_forward);
  second.residual_scale = residual_scale;
  if (order != LayerOrder::post) first.norm = norm;
  if (order != LayerOrder::post && order != LayerOrder::parallel_shared) second.norm = norm;
  if (order == LayerOrder::post || order == LayerOrder::sandwich) {
    first.post_norm = norm;
    second.post_norm = norm;
  }
  if (order == LayerOrder::parallel_shared) second.input = BlockInput::same_normed;
  if (order == LayerOrder::parallel_separate) second.input = BlockInput::beside;
  return {.blocks = {std::move(first), std::move(second)}};
}

Activation read_activation(ConfigFields& config, const std::string& name,
                           const std::string& fallback) {
  const std::string text = config.text(name, fallback);
  if (text == "silu" || text == "swish") return Activation::silu;
  if (text == "gelu") return Activation::gelu;
  if (text == "gelu_new" || text == "gelu_pytorch_tanh" || text == "gelu_fast") {
    return Activation::gelu_tanh;
  }
  if (text == "relu") return Activation::relu;
  if (text == "relu2") return Activation::relu_squared;
  config.fail(name, "is \"" + text +
                        "\": this activation is unsupported; supported are silu, gelu, gelu_new, "
                        "gelu_pytorch_tanh, relu and relu2");
}

std::vector<std::string> read_layer_types(ConfigFields& config, std::int64_t layers,
                                          const std::vector<std::string>& known) {
  const Json* types = config.value("layer_types");
  if (types == nullptr) return {};
  if (!types->is_array() || types->size() != static_cast<std::size_t>(layers)) {
    config.fail("layer_types", fmt::format("is no list of {} layer types", layers));
  }
  std::vector<std::string> result;
  for (const Json& type : *types) {
    const std::string text = type.is_string() ? type.get<std::string>() : std::string();
    if (std::find(known.begin(), known.end(), text) == known.end()) {
      std::string list;
      for (const std::string& name : known) list += (list.empty() ? "" : ", ") + name;
      config.fail("layer_types",
                  fmt::format("has {} in layer {}: this is unsupported; supported are {}",
                              type.dump(-1, ' ', true, Json::error_handler_t::replace),
                              result.size(), list));
    }
    result.push_back(text);
  }
  return result;
}

std::optional<std::int64_t> read_window_size(ConfigFields& config,
                                             std::optional<std::int64_t> fallback) {
  if (!config.given("sliding_window")) {
    return config.mentioned("sliding_window") ? std::nullopt : fallback;
  }
  return config.size("sliding_window");
}

void ignore_decoder_fields(ConfigFields& config) {
  ignore_common_fields(config);
  config.ignore({"attention_dropout", "pretraining_tp", "embedding_dropout", "residual_dropout",
                 "attn_pdrop", "resid_dropout", "embd_dropout", "rope_theta", "max_sequence_length",
                 "output_router_logits", "router_aux_loss_coef", "router_jitter_noise",
                 "router_z_loss_coef", "cache_implementation", "num_logits_to_keep", "head_dim"});
}

}  // namespace gridmill::convert_detail
