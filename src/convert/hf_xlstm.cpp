#include <array>
#include <cmath>
#include <string>
#include <string_view>
#include <utility>

#include "convert/hugging_face_detail.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill::convert_detail {

namespace {

/// One of two spellings of a size; both may be there if they agree.
std::int64_t aliased_size(ConfigFields& config, const std::string& name, const std::string& alias,
                          std::int64_t fallback) {
  const bool both = config.given(name) && config.given(alias);
  const std::int64_t size = config.given(name) ? config.size(name) : config.size(alias, fallback);
  if (both && config.size(alias) != size) {
    config.fail(alias, fmt::format("is {}, but {} is {}; they mean the same", config.size(alias),
                                   name, size));
  }
  return size;
}

/// int(hidden_size * factor), which must fall into heads.
std::int64_t total_width(ConfigFields& config, const std::string& factor_name, double fallback,
                         std::int64_t hidden_size, std::int64_t heads) {
  const double factor = config.positive(factor_name, fallback);
  const double width = std::trunc(static_cast<double>(hidden_size) * factor);
  if (!(width >= 1 && width <= 1e9) || std::fmod(width, static_cast<double>(heads)) != 0) {
    config.fail(factor_name, fmt::format("is {}: {} times that is {}, which {} heads do not divide",
                                         factor, hidden_size, width, heads));
  }
  return static_cast<std::int64_t>(width);
}

/// floor((D * factor + r - 1) / r) * r in floating point, as the reference computes it: an excess
/// below one does not round up.
std::int64_t ffn_width(ConfigFields& config, std::int64_t hidden_size, double default_factor) {
  const double factor = config.positive("ffn_proj_factor", default_factor);
  const auto multiple = static_cast<double>(config.size("ffn_round_up_to_multiple_of", 64));
  const double wanted = static_cast<double>(hidden_size) * factor;
  const double width = std::floor((wanted + multiple - 1) / multiple) * multiple;
  if (!(width >= 1 && width <= 1e9)) {
    config.fail("ffn_proj_factor", fmt::format("gives a feed-forward width of {}", width));
  }
  return static_cast<std::int64_t>(width);
}

double soft_cap(ConfigFields& config, const std::string& name, double fallback) {
  if (config.mentioned(name) && !config.given(name)) return 0;  // null: no cap
  return config.positive(name, fallback);
}

/// Tensor and rows of a projection that weight_mode "fused" stores together with others.
struct FusedSection {
  std::string_view leaf;    ///< ours, without "_bias"
  std::string_view single;  ///< name when stored on its own
  std::string_view fused;   ///< name when stored together; empty = never
};
constexpr std::array kSections = {
    FusedSection{"q", "mlstm_layer.q", "mlstm_layer.qkv_opreact"},
    FusedSection{"k", "mlstm_layer.k", "mlstm_layer.qkv_opreact"},
    FusedSection{"v", "mlstm_layer.v", "mlstm_layer.qkv_opreact"},
    FusedSection{"o_gate", "mlstm_layer.ogate_preact", "mlstm_layer.qkv_opreact"},
    FusedSection{"i_gate", "mlstm_layer.igate_preact", "mlstm_layer.ifgate_preact"},
    FusedSection{"f_gate", "mlstm_layer.fgate_preact", "mlstm_layer.ifgate_preact"},
    FusedSection{"gate", "ffn.proj_up_gate", "ffn.proj_up_gate_z"},
    FusedSection{"up", "ffn.proj_up", "ffn.proj_up_gate_z"},
    FusedSection{"down", "ffn.proj_down", ""},
    FusedSection{"out", "mlstm_layer.out_proj", ""},
    FusedSection{"head_norm", "mlstm_layer.multihead_norm", ""},
    FusedSection{"mlstm_norm", "norm_mlstm", ""},
    FusedSection{"ffn_norm", "norm_ffn", ""},
};

std::int64_t section_rows(std::string_view leaf, const Json& model) {
  if (leaf == "q" || leaf == "k") return model.at("qk_dim").get<std::int64_t>();
  if (leaf == "v" || leaf == "o_gate") return model.at("v_dim").get<std::int64_t>();
  if (leaf == "i_gate" || leaf == "f_gate") return model.at("heads").get<std::int64_t>();
  return model.at("ffn_size").get<std::int64_t>();
}

ParameterTake take_section(const FusedSection& wanted, const std::string& prefix,
                           const std::string& ending, const ParameterSpec& spec,
                           const Json& model) {
  std::int64_t first = 0;
  std::int64_t total = 0;
  for (const FusedSection& section : kSections) {
    if (section.fused != wanted.fused) continue;
    if (section.leaf == wanted.leaf) first = total;
    total += section_rows(section.leaf, model);
  }
  return take_rows(fmt::format("{}.{}.{}", prefix, wanted.fused, ending), spec, first, total);
}

}  // namespace

Json xlstm_model(ConfigFields& config, XlstmForm form) {
  config.refuse({"quantization_config", "compression_config"});
  const bool large = form == XlstmForm::large;
  const std::int64_t hidden_size = aliased_size(config, "hidden_size", "embedding_dim", 4096);
  const std::int64_t layers = aliased_size(config, "num_hidden_layers", "num_blocks", 32);
  const std::int64_t heads = config.size("num_heads", 8);
  if (layers > kMostLayers) config.fail("num_hidden_layers", fmt::format("is {}", layers));
  const std::string weight_mode = config.text("weight_mode", "single");
  if (weight_mode != "single" && weight_mode != "fused") {
    config.fail("weight_mode", "is \"" + weight_mode + "\": this is unsupported");
  }
  const bool bias = config.flag("use_bias", false);
  const bool out_norm = config.flag("add_out_norm", true);

  Json model = {
      {"family", "xlstm"},
      {"layer_type", "mlstm_v1"},
      {"vocab_size", config.size("vocab_size", 50304)},
      {"hidden_size", hidden_size},
      {"layers", layers},
      {"heads", heads},
      {"qk_dim", total_width(config, "qk_dim_factor", 0.5, hidden_size, heads)},
      {"v_dim", total_width(config, "v_dim_factor", 1.0, hidden_size, heads)},
      {"norm", "rms"},
      {"head_norm", "layer"},
      {"norm_eps", config.positive("norm_eps", 1e-6)},
      {"denominator_eps", config.positive("eps", 1e-6)},
      {"gate_soft_cap", soft_cap(config, "gate_soft_cap", 15.0)},
      {"logit_soft_cap", soft_cap(config, "output_logit_soft_cap", 30.0)},
      {"bias", bias},
      {"norm_bias", bias},
      // transformers always has the final norm and never gives it a bias.
      {"final_norm", !large || out_norm},
      {"final_norm_bias", large && out_norm && bias},
      {"ffn", "gated"},
      {"ffn_size", ffn_width(config, hidden_size, large ? 2.6667 : 2.667)},
      {"activation", "silu"},
      {"max_length", 0},
  };
  ignore_common_fields(config);
  // tie_word_embeddings has no effect in the reference: the head is always its own tensor. The rest
  // chooses kernels, chunks of the prefill and types, none of which is part of the mathematics.
  config.ignore({"tie_word_embeddings", "chunk_size", "chunkwise_kernel", "sequence_kernel",
                 "step_kernel", "mode", "return_last_states", "max_inference_chunksize",
                 "autocast_kernel_dtype", "inference_state_dtype", "norm_reduction_force_float32"});
  // Switches of the training code (xlstm-jax) that converted checkpoints may carry along.
  config.ignore({"add_embedding_dropout", "add_post_blocks_norm", "add_forward_backend_padding",
                 "forward_backend_name", "init_distribution", "init_distribution_embed",
                 "init_distribution_out", "output_init_fn", "igate_bias_init_range",
                 "fgate_bias_init_range", "lm_head_dtype"});
  config.refuse({"add_post_norm", "add_qk_norm", "gate_linear_headwise"});
  return model;
}

ParameterTake take_from_xlstm(const ParameterSpec& spec, const Json& model, XlstmForm form,
                              bool fused) {
  const auto [layer, leaf] = split_parameter_name(spec.name);
  if (!layer) {
    if (leaf == "embedding") {
      return take_whole(
          form == XlstmForm::large ? "embedding.weight" : "backbone.embeddings.weight", spec);
    }
    if (leaf == "final_norm") return take_whole("backbone.out_norm.weight", spec);
    if (leaf == "final_norm_bias") return take_whole("backbone.out_norm.bias", spec);
    if (leaf == "head") return take_whole("lm_head.weight", spec);
    throw_no_source(spec.name);
  }
  constexpr std::string_view kBias = "_bias";
  const bool bias = leaf.ends_with(kBias);
  const std::string_view plain =
      std::string_view(leaf).substr(0, leaf.size() - (bias ? kBias.size() : 0));
  const std::string prefix = fmt::format("backbone.blocks.{}", *layer);
  const std::string ending = bias ? "bias" : "weight";
  for (const FusedSection& section : kSections) {
    if (section.leaf != plain) continue;
    if (fused && !section.fused.empty()) return take_section(section, prefix, ending, spec, model);
    return take_whole(fmt::format("{}.{}.{}", prefix, section.single, ending), spec);
  }
  throw_no_source(spec.name);
}

}  // namespace gridmill::convert_detail
