#include <array>
#include <memory>

#include "convert/derived_tensors.hpp"
#include "convert/families/decoder.hpp"
#include "convert/families/family.hpp"
#include "convert/families/rotary.hpp"
#include "gridmill/base/format.hpp"

// StableLM 2: layer norms with bias, a quarter of a head rotated, optionally a norm a head.
namespace gridmill::convert_detail {

namespace {

constexpr std::array<NamePair, 4> kInLayer = {{
    {"attention_norm_bias", "input_layernorm.bias"},
    {"ffn_norm_bias", "post_attention_layernorm.bias"},
    {"q_norm", "self_attn.q_layernorm.norms.weight"},
    {"k_norm", "self_attn.k_layernorm.norms.weight"},
}};
constexpr std::array<NamePair, 1> kOuter = {{{"final_norm_bias", "model.norm.bias"}}};

ModelSpec read_stablelm(ConfigFields& config) {
  const Decoder decoder = read_decoder(
      config, {.max_positions = 4096, .norm_eps_field = "layer_norm_eps", .norm_eps = 1e-5});
  const NormSpec norm{.kind = NormKind::layer, .eps = decoder.norm_eps, .bias = true};
  ModelSpec spec = begin_model(decoder, norm);
  AttentionSpec attention = attention_of(decoder);
  attention.rotary =
      rotary_index(spec, read_rotary(config, decoder.head_width, decoder.max_length,
                                     {.part_field = "partial_rotary_factor", .part = 0.25}));
  attention.qkv_bias = config.flag("use_qkv_bias", false);
  if (config.flag("qk_layernorm", false)) {
    attention.qk_norm = QkNormSpec{.scope = QkNormScope::each_head,
                                   .norm = {.kind = NormKind::layer, .eps = decoder.norm_eps}};
  }
  const bool parallel = config.flag("use_parallel_residual", false);
  const FeedForwardSpec ffn{.size = decoder.ffn_size,
                            .activation = read_activation(config, "hidden_act", "silu")};
  for (std::int64_t layer = 0; layer < decoder.layers; ++layer) {
    spec.layers.push_back(
        make_layer(parallel ? LayerOrder::parallel_shared : LayerOrder::pre, norm, attention, ffn));
  }
  ignore_decoder_fields(config);
  return spec;
}

/// The weights of a layer's head norms lie in a tensor each: one tensor of all of them.
void stack_head_norms(ForeignTensors& tensors, const ModelSpec& model) {
  for (std::size_t layer = 0; layer < model.layers.size(); ++layer) {
    const auto& attention = std::get<AttentionSpec>(model.layers[layer].blocks.front().mixer);
    if (!attention.qk_norm) return;
    for (const auto& [letter, heads] :
         {std::pair("q", attention.heads), std::pair("k", attention.kv_heads)}) {
      const std::string base =
          fmt::format("model.layers.{}.self_attn.{}_layernorm.norms.", layer, letter);
      std::vector<const ForeignTensor*> parts;
      for (std::int64_t head = 0; head < heads; ++head) {
        parts.push_back(
            &tensors.use(base + std::to_string(head) + ".weight", {attention.head_width}, base));
      }
      tensors.add(std::make_unique<StackedTensor>(base + "weight", std::move(parts)));
    }
  }
}

}  // namespace

Family stablelm_family() {
  return {.model_type = "stablelm",
          .architecture = "StableLmForCausalLM",
          .tokens = {.bos = 0, .eod = {0}},
          .read = read_stablelm,
          .take =
              [](const WantedParameter& wanted) {
                return take_named(wanted, {.in_layer = kInLayer, .outer = kOuter});
              },
          .derive = stack_head_norms};
}

}  // namespace gridmill::convert_detail
