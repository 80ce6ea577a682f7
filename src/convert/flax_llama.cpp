#include <array>
#include <cmath>
#include <string>
#include <string_view>
#include <utility>

#include "convert/xlstm_jax_detail.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill::convert_detail {

namespace {

/// multiple * ceil(trunc(trunc(8 D / 3) * multiplier) / multiple), as xlstm-jax computes it.
std::int64_t ffn_width(ConfigFields& config, std::int64_t hidden_size) {
  const std::int64_t multiple = config.size("ffn_multiple_of", 64);
  const double multiplier = config.number("ffn_dim_multiplier", 1.0);
  double width = std::trunc(8.0 * static_cast<double>(hidden_size) / 3.0);
  if (multiplier != 0) width = std::trunc(width * multiplier);
  if (!(width >= 1 && width <= 1e9)) {
    config.fail("ffn_dim_multiplier", fmt::format("gives a feed-forward width of {}", width));
  }
  return (static_cast<std::int64_t>(width) + multiple - 1) / multiple * multiple;
}

struct DenseRow {
  std::string_view leaf;    ///< ours
  std::string_view module;  ///< theirs
};
constexpr std::array kDense = {
    DenseRow{"q", "attn/attn/dense_q"},       DenseRow{"k", "attn/attn/dense_k"},
    DenseRow{"v", "attn/attn/dense_v"},       DenseRow{"o", "attn/attn/dense_out"},
    DenseRow{"gate", "ffn/ffn/proj_up_gate"}, DenseRow{"up", "ffn/ffn/proj_up"},
    DenseRow{"down", "ffn/ffn/proj_down"},
};
constexpr std::array kNorms = {
    DenseRow{"attention_norm", "attn/pre_norm"},
    DenseRow{"ffn_norm", "ffn/pre_norm"},
    DenseRow{"q_norm", "attn/attn/q_norm"},
    DenseRow{"k_norm", "attn/attn/k_norm"},
};

/// Kernel or bias of a dense layer; heads and head width are axes of their own.
ParameterTake take_dense(const ParameterSpec& spec, std::int64_t layer, const DenseRow& row,
                         const Json& model, const FlaxTakes& takes) {
  const auto heads = model.at("heads").get<std::int64_t>();
  const auto head_dim = model.at("head_dim").get<std::int64_t>();
  const bool into_heads = row.leaf == "q" || row.leaf == "k" || row.leaf == "v";
  const std::string module(row.module);
  if (spec.shape.size() == 1) {
    const Extents core = into_heads ? Extents{heads, head_dim} : Extents{spec.shape[0]};
    return takes.flat(spec, layer, module + "/bias", core);
  }
  Extents core = {columns_of(spec), rows_of(spec)};
  if (into_heads) core = {columns_of(spec), heads, head_dim};
  if (row.leaf == "o") core = {heads, head_dim, rows_of(spec)};
  return takes.kernel(spec, layer, module + "/kernel", core);
}

}  // namespace

Json flax_llama_model(ConfigFields& config, FlaxLayout& layout) {
  const std::int64_t hidden_size = config.size("embedding_dim");
  const std::int64_t head_dim = config.size("head_dim", 128);
  const std::int64_t layers = config.size("num_blocks");
  if (hidden_size % head_dim != 0 || head_dim % 2 != 0) {
    config.fail("head_dim",
                fmt::format("is {}, expected an even number that divides embedding_dim {}",
                            head_dim, hidden_size));
  }
  if (layers > kMostLayers) config.fail("num_blocks", fmt::format("is {}", layers));
  if (!config.flag("causal", true)) {
    config.fail("causal", "is false: attention in both directions is unsupported");
  }
  const std::int64_t heads = hidden_size / head_dim;
  const bool bias = config.flag("use_bias", false);
  layout.scanned = config.flag("scan_blocks", true);
  layout.layers = layers;
  layout.block = layout.scanned ? "block_stack/block" : "block_stack/block_";
  // Neither borders of documents nor training settings matter when one text is continued.
  config.ignore({"attention_backend", "mask_across_document_boundaries", "dtype", "dropout_rate",
                 "add_embedding_dropout", "parallel"});
  return {
      {"family", "llama"},
      {"vocab_size", config.size("vocab_size")},
      {"hidden_size", hidden_size},
      {"intermediate_size", ffn_width(config, hidden_size)},
      {"layers", layers},
      {"heads", heads},
      {"kv_heads", heads},
      {"head_dim", head_dim},
      {"norm_eps", 1e-6},  // fixed in xlstm-jax
      {"logit_soft_cap", config.given("logits_soft_cap") ? config.positive("logits_soft_cap") : 0},
      {"max_length", 0},
      {"tied", false},
      {"qkv_bias", bias},
      {"out_bias", bias},
      {"mlp_bias", bias},
      {"qk_norm", config.flag("qk_norm", false)},
      // xlstm-jax takes the scale from the axis of the heads.
      {"score_scale", 1.0 / std::sqrt(static_cast<double>(heads))},
      {"rotary", {{"type", "default"}, {"theta", config.positive("theta", 1e4)}}},
      // Its generate_tokens has no key-value cache for this model: a token sees only itself.
      {"generation_attention", "self_only"},
      {"bos_id", -1},
      {"eod_ids", Json::array()},
  };
}

ParameterTake take_from_flax_llama(const ParameterSpec& spec, const Json& model,
                                   const FlaxTakes& takes) {
  const auto [layer, leaf] = split_parameter_name(spec.name);
  if (!layer) {
    if (leaf == "embedding") return takes.embedding(spec, "token_embedding/sharded/embedding");
    return take_flax_head(spec);
  }
  const bool rotated = leaf == "q" || leaf == "k" || leaf == "q_bias" || leaf == "k_bias" ||
                       leaf == "q_norm" || leaf == "k_norm";
  ParameterTake take;
  for (const DenseRow& row : kDense) {
    if (leaf == row.leaf || leaf == std::string(row.leaf) + "_bias") {
      take = take_dense(spec, *layer, row, model, takes);
    }
  }
  for (const DenseRow& row : kNorms) {
    if (leaf == row.leaf) {
      take = takes.flat(spec, *layer, std::string(row.module) + "/scale", spec.shape);
    }
  }
  if (take.tensor.empty()) throw_no_source(spec.name);
  if (rotated) take.rotary_width = model.at("head_dim").get<std::int64_t>();
  return take;
}

}  // namespace gridmill::convert_detail
