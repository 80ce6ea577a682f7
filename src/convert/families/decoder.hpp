#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "convert/config_fields_detail.hpp"
#include "gridmill/model/model_spec.hpp"

// Parts of a configuration that most families share.
namespace gridmill::convert_detail {

/// Defaults of a configuration class of transformers for missing fields.
struct DecoderDefaults {
  std::optional<std::int64_t> vocab_size = std::nullopt;
  std::optional<std::int64_t> heads = std::nullopt;
  /// nullopt: as many as heads.
  std::optional<std::int64_t> kv_heads = std::nullopt;
  std::int64_t max_positions = 2048;
  /// 0: hidden_size / num_attention_heads.
  std::int64_t head_width = 0;
  const char* norm_eps_field = "rms_norm_eps";
  double norm_eps = 1e-6;
  bool tied = false;
};

/// Sizes that every decoder has, in the field names of Llama.
struct Decoder {
  std::int64_t vocab_size = 0;
  std::int64_t hidden_size = 0;
  std::int64_t layers = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_width = 0;
  std::int64_t ffn_size = 0;
  std::int64_t max_length = 0;
  double norm_eps = 0;
  bool tied = false;
};
[[nodiscard]] Decoder read_decoder(ConfigFields& config, const DecoderDefaults& defaults);

/// A description with the decoder's sizes, a head norm of `kind` and no layers yet.
[[nodiscard]] ModelSpec begin_model(const Decoder& decoder, const NormSpec& norm);
/// Attention over the decoder's heads with a score scale of 1 / sqrt(head width).
[[nodiscard]] AttentionSpec attention_of(const Decoder& decoder);

/// Place of a rotary table in the description, which gets it if it has no equal one yet.
[[nodiscard]] std::int64_t rotary_index(ModelSpec& spec, const RotarySpec& rotary);

/// How attention and feed-forward share a layer (docs/models.md).
enum class LayerOrder : std::uint8_t {
  pre,               ///< x += attn(n1(x)); x += ffn(n2(x))
  sandwich,          ///< x += n1b(attn(n1(x))); x += n2b(ffn(n2(x)))
  post,              ///< x += n1b(attn(x)); x += n2b(ffn(x))
  parallel_shared,   ///< u = n1(x); x += attn(u) + ffn(u)
  parallel_separate  ///< x += attn(n1(x)) + ffn(n2(x))
};
[[nodiscard]] LayerSpec make_layer(LayerOrder order, const NormSpec& norm, Mixer attention,
                                   Mixer feed_forward, double residual_scale = 1);

/// The activation of field `name`: silu, gelu (exact), gelu_tanh in its spellings, relu, relu2.
[[nodiscard]] Activation read_activation(ConfigFields& config, const std::string& name,
                                         const std::string& fallback);

/// Window of every layer, nullopt = none. `layer_types` decides where it is given; else layer i has
/// the window where `slides(i)`.
template <typename Slides>
[[nodiscard]] std::vector<std::optional<std::int64_t>> read_windows(
    ConfigFields& config, std::int64_t layers, std::optional<std::int64_t> window, Slides slides);

/// The entries of layer_types; empty if the field is missing.
/// @throws FormatError unless it lists one of `known` for each layer.
[[nodiscard]] std::vector<std::string> read_layer_types(ConfigFields& config, std::int64_t layers,
                                                        const std::vector<std::string>& known);
/// The size in `sliding_window`; nullopt for null. `fallback` if the field is not even mentioned.
[[nodiscard]] std::optional<std::int64_t> read_window_size(ConfigFields& config,
                                                           std::optional<std::int64_t> fallback);

template <typename Slides>
std::vector<std::optional<std::int64_t>> read_windows(ConfigFields& config, std::int64_t layers,
                                                      std::optional<std::int64_t> window,
                                                      Slides slides) {
  const std::vector<std::string> types =
      read_layer_types(config, layers, {"full_attention", "sliding_attention"});
  std::vector<std::optional<std::int64_t>> windows;
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    const bool sliding = types.empty()
                             ? window.has_value() && slides(layer)
                             : types[static_cast<std::size_t>(layer)] == "sliding_attention";
    if (sliding && !window) {
      config.fail("layer_types", "asks for sliding_attention, but sliding_window is off");
    }
    windows.push_back(sliding ? window : std::nullopt);
  }
  return windows;
}

/// Fields that change nothing in generation, of every decoder; also refuses those that would.
void ignore_decoder_fields(ConfigFields& config);

}  // namespace gridmill::convert_detail
