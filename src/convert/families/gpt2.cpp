#include <array>
#include <cmath>

#include "convert/families/decoder.hpp"
#include "convert/families/family.hpp"
#include "gridmill/base/format.hpp"

// GPT-2: learned positions, matrices stored (in, out), names with or without "transformer.".
namespace gridmill::convert_detail {

namespace {

constexpr std::array<NamePair, 8> kVectors = {{
    {"attention_norm", "ln_1.weight"},
    {"attention_norm_bias", "ln_1.bias"},
    {"ffn_norm", "ln_2.weight"},
    {"ffn_norm_bias", "ln_2.bias"},
    {"o_bias", "attn.c_proj.bias"},
    {"up_bias", "mlp.c_fc.bias"},
    {"down_bias", "mlp.c_proj.bias"},
    {"gate", ""},
}};
constexpr std::array<NamePair, 3> kMatrices = {{
    {"o", "attn.c_proj.weight"},
    {"up", "mlp.c_fc.weight"},
    {"down", "mlp.c_proj.weight"},
}};
constexpr std::array<NamePair, 4> kOuter = {{
    {"embedding", "wte.weight"},
    {"positions", "wpe.weight"},
    {"final_norm", "ln_f.weight"},
    {"final_norm_bias", "ln_f.bias"},
}};

ModelSpec read_gpt2(ConfigFields& config) {
  Decoder decoder;
  decoder.vocab_size = config.size("vocab_size", 50257);
  decoder.hidden_size = config.size("n_embd", 768);
  decoder.layers = config.size("n_layer", 12);
  decoder.heads = config.size("n_head", 12);
  decoder.kv_heads = decoder.heads;
  decoder.max_length = config.size("n_positions", 1024);
  decoder.ffn_size = config.size("n_inner", 4 * decoder.hidden_size);
  decoder.tied = config.flag("tie_word_embeddings", true);
  if (decoder.layers > kMostLayers) config.fail("n_layer", fmt::format("is {}", decoder.layers));
  if (decoder.hidden_size % decoder.heads != 0) {
    config.fail("n_embd", fmt::format("is {}, which {} heads do not divide", decoder.hidden_size,
                                      decoder.heads));
  }
  if (!decoder.tied) config.fail("tie_word_embeddings", "is false, which is unsupported here");
  decoder.head_width = decoder.hidden_size / decoder.heads;
  const NormSpec norm{
      .kind = NormKind::layer, .eps = config.positive("layer_norm_epsilon", 1e-5), .bias = true};
  ModelSpec spec = begin_model(decoder, norm);
  spec.embedding.positions = decoder.max_length;
  AttentionSpec attention = attention_of(decoder);
  if (!config.flag("scale_attn_weights", true)) attention.score_scale = 1;
  attention.qkv_bias = true;
  attention.out_bias = true;
  const bool by_layer = config.flag("scale_attn_by_inverse_layer_idx", false);
  const FeedForwardSpec ffn{
      .size = decoder.ffn_size,
      .gated = false,
      .activation = read_activation(config, "activation_function", "gelu_new"),
      .up_bias = true,
      .down_bias = true};
  for (std::int64_t layer = 0; layer < decoder.layers; ++layer) {
    AttentionSpec own = attention;
    if (by_layer) own.score_scale /= static_cast<double>(layer + 1);
    spec.layers.push_back(make_layer(LayerOrder::pre, norm, own, ffn));
  }
  ignore_decoder_fields(config);
  config.ignore({"n_ctx", "reorder_and_upcast_attn", "summary_activation", "summary_first_dropout",
                 "summary_proj_to_labels", "summary_type", "summary_use_proj"});
  return spec;
}

ParameterTake take_gpt2(const WantedParameter& wanted) {
  const bool prefixed = wanted.tensors.contains("transformer.wte.weight");
  const std::string start = prefixed ? "transformer." : "";
  if (!wanted.layer) {
    if (wanted.leaf == "head") return take_whole("lm_head.weight", wanted.spec);
    for (const auto& [ours, theirs] : kOuter) {
      if (ours == wanted.leaf) {
        return take_whole(start + std::string(theirs), wanted.spec);
      }
    }
    throw_no_source(wanted.spec.name);
  }
  const std::string prefix = start + fmt::format("h.{}.", *wanted.layer);
  const std::string letter = wanted.leaf.substr(0, wanted.leaf.find('_'));
  if (letter == "q" || letter == "k" || letter == "v") {
    const std::int64_t width = rows_of(wanted.spec);
    const std::int64_t first = letter == "q" ? 0 : letter == "k" ? width : 2 * width;
    const bool bias = wanted.leaf.ends_with("_bias");
    return take_transposed(wanted, prefix + "attn.c_attn." + (bias ? "bias" : "weight"), first,
                           3 * width);
  }
  for (const auto& [ours, theirs] : kMatrices) {
    if (ours == wanted.leaf) {
      return take_transposed(wanted, prefix + std::string(theirs), 0, rows_of(wanted.spec));
    }
  }
  for (const auto& [ours, theirs] : kVectors) {
    if (ours == wanted.leaf && !theirs.empty()) {
      return take_whole(prefix + std::string(theirs), wanted.spec);
    }
  }
  throw_no_source(wanted.spec.name);
}

bool is_harmless(std::string_view tensor) {
  return tensor.ends_with(".attn.bias") || tensor.ends_with(".attn.masked_bias");
}

}  // namespace

Family gpt2_family() {
  return {.model_type = "gpt2",
          .architecture = "GPT2LMHeadModel",
          .tokens = {.bos = 50256, .eod = {50256}},
          .read = read_gpt2,
          .take = take_gpt2,
          .harmless = is_harmless};
}

}  // namespace gridmill::convert_detail
