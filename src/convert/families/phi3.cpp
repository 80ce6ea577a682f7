#include "convert/families/decoder.hpp"
#include "convert/families/family.hpp"
#include "convert/families/rotary.hpp"
#include "gridmill/base/format.hpp"

// Phi-3, 3.5, 4 and 4-mini: fused q|k|v and gate|up.
namespace gridmill::convert_detail {

namespace {

ModelSpec read_phi3(ConfigFields& config) {
  const Decoder decoder = read_decoder(config, {.max_positions = 4096, .norm_eps = 1e-5});
  const NormSpec norm{.kind = NormKind::rms, .eps = decoder.norm_eps};
  ModelSpec spec = begin_model(decoder, norm);
  AttentionSpec attention = attention_of(decoder);
  attention.rotary = rotary_index(spec, read_rotary(config, decoder.head_width, decoder.max_length,
                                                    {.part_field = "partial_rotary_factor"}));
  // Beside rope_scaling, where only longrope reads it; without longrope it says nothing.
  config.ignore({"original_max_position_embeddings"});
  const auto windows = read_windows(config, decoder.layers, read_window_size(config, std::nullopt),
                                    [](std::int64_t) { return true; });
  const FeedForwardSpec ffn{.size = decoder.ffn_size,
                            .activation = read_activation(config, "hidden_act", "silu")};
  for (const std::optional<std::int64_t>& window : windows) {
    attention.window = window;
    spec.layers.push_back(make_layer(LayerOrder::pre, norm, attention, ffn));
  }
  ignore_decoder_fields(config);
  config.refuse({"attention_bias", "mlp_bias", "lm_head_bias"});
  config.refuse({"interpolate_factor", "full_attn_mod"}, true);
  return spec;
}

ParameterTake take_phi3(const WantedParameter& wanted) {
  if (wanted.layer) {
    const std::string prefix = fmt::format("model.layers.{}.", *wanted.layer);
    if (wanted.leaf == "q" || wanted.leaf == "k" || wanted.leaf == "v") {
      const AttentionSpec& attention = wanted.attention();
      const std::int64_t queries = attention.heads * attention.head_width;
      const std::int64_t keys = attention.kv_heads * attention.head_width;
      const std::int64_t first = wanted.leaf == "q" ? 0 : queries + (wanted.leaf == "k" ? 0 : keys);
      return take_stacked(wanted, prefix + "self_attn.qkv_proj.weight", first, queries + 2 * keys);
    }
    if (wanted.leaf == "gate" || wanted.leaf == "up") {
      const std::int64_t width = rows_of(wanted.spec);
      return take_stacked(wanted, prefix + "mlp.gate_up_proj.weight",
                          wanted.leaf == "gate" ? 0 : width, 2 * width);
    }
  }
  return take_named(wanted, {});
}

}  // namespace

Family phi3_family() {
  return {.model_type = "phi3",
          .architecture = "Phi3ForCausalLM",
          .tokens = {.bos = 1, .eod = {32000}},
          .read = read_phi3,
          .take = take_phi3};
}

}  // namespace gridmill::convert_detail
