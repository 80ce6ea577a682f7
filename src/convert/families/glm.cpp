#include <array>

#include "convert/families/decoder.hpp"
#include "convert/families/family.hpp"
#include "convert/families/rotary.hpp"
#include "gridmill/base/format.hpp"

// GLM-4 in both forms: half of a head is rotated in interleaved pairs, gate and up are fused.
namespace gridmill::convert_detail {

namespace {

constexpr std::array<NamePair, 3> kSandwich = {{
    {"attention_post_norm", "post_self_attn_layernorm.weight"},
    {"ffn_norm", "post_attention_layernorm.weight"},
    {"ffn_post_norm", "post_mlp_layernorm.weight"},
}};

ModelSpec read_glm(ConfigFields& config, LayerOrder order) {
  const Decoder decoder =
      read_decoder(config, {.max_positions = 131072, .head_width = 128, .norm_eps = 1.5625e-7});
  const NormSpec norm{.kind = NormKind::rms, .eps = decoder.norm_eps};
  ModelSpec spec = begin_model(decoder, norm);
  AttentionSpec attention = attention_of(decoder);
  attention.rotary =
      rotary_index(spec, read_rotary(config, decoder.head_width, decoder.max_length,
                                     {.part_field = "partial_rotary_factor", .part = 0.5}));
  // The two classes differ in their default, and every published configuration has the field.
  if (!config.given("attention_bias")) config.fail("attention_bias", "is missing");
  attention.qkv_bias = config.flag("attention_bias", false);
  const FeedForwardSpec ffn{.size = decoder.ffn_size,
                            .activation = read_activation(config, "hidden_act", "silu")};
  for (std::int64_t layer = 0; layer < decoder.layers; ++layer) {
    spec.layers.push_back(make_layer(order, norm, attention, ffn));
  }
  ignore_decoder_fields(config);
  return spec;
}

ParameterTake take_glm(const WantedParameter& wanted, const Names& names) {
  if (wanted.layer && (wanted.leaf == "gate" || wanted.leaf == "up")) {
    const std::int64_t width = rows_of(wanted.spec);
    return take_stacked(wanted,
                        fmt::format("model.layers.{}.mlp.gate_up_proj.weight", *wanted.layer),
                        wanted.leaf == "gate" ? 0 : width, 2 * width);
  }
  return take_with_interleaved_heads(wanted, names);
}

}  // namespace

Family glm_family() {
  return {.model_type = "glm",
          .architecture = "GlmForCausalLM",
          .tokens = {.eod = {151329, 151336, 151338}},
          .read = [](ConfigFields& config) { return read_glm(config, LayerOrder::pre); },
          .take = [](const WantedParameter& wanted) { return take_glm(wanted, {}); }};
}

Family glm4_family() {
  return {
      .model_type = "glm4",
      .architecture = "Glm4ForCausalLM",
      .tokens = {.eod = {151329, 151336, 151338}},
      .read = [](ConfigFields& config) { return read_glm(config, LayerOrder::sandwich); },
      .take =
          [](const WantedParameter& wanted) { return take_glm(wanted, {.in_layer = kSandwich}); }};
}

}  // namespace gridmill::convert_detail
