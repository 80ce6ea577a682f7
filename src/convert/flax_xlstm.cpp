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

/// factor * D rounded to a multiple, up unless the configuration says down.
std::int64_t rounded_width(ConfigFields& config, std::int64_t hidden_size, double default_factor) {
  const double factor = config.positive("proj_factor", default_factor);
  const auto multiple = static_cast<double>(config.size("round_proj_up_to_multiple_of", 64));
  const double multiples = factor * static_cast<double>(hidden_size) / multiple;
  const double width =
      (config.flag("round_proj_up_dim_up", true) ? std::ceil(multiples) : std::floor(multiples)) *
      multiple;
  if (!(width >= 1 && width <= 1e9)) {
    config.fail("proj_factor", fmt::format("gives a width of {}", width));
  }
  return static_cast<std::int64_t>(width);
}

std::int64_t scaled_width(ConfigFields& config, const std::string& name, std::int64_t hidden_size,
                          std::int64_t heads) {
  const double width = std::trunc(static_cast<double>(hidden_size) * config.positive(name, 1.0));
  if (!(width >= 1 && width <= 1e9) || std::fmod(width, static_cast<double>(heads)) != 0) {
    config.fail(name,
                fmt::format("gives a width of {}, which {} heads do not divide", width, heads));
  }
  return static_cast<std::int64_t>(width);
}

std::string norm_kind(ConfigFields& config, const std::string& name) {
  const std::string kind = config.text(name, "layernorm");
  if (kind == "layernorm") return "layer";
  if (kind == "rmsnorm") return "rms";
  config.fail(name, "is \"" + kind + "\": this norm is unsupported; expected layernorm or rmsnorm");
}

std::string activation_of(ConfigFields& ffn) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kActivations = {{
      {"gelu", "gelu_tanh"},  // jax.nn.gelu approximates by default
      {"swish", "silu"},
      {"relu", "relu"},
      {"relu^2", "relu_squared"},
      {"sigmoid", "sigmoid"},
      {"selu", "selu"},
  }};
  const std::string name = ffn.text("act_fn", "gelu");
  for (const auto& [theirs, ours] : kActivations) {
    if (name == theirs) return std::string(ours);
  }
  ffn.fail("act_fn", "is \"" + name + "\": this activation is unsupported");
}

double cap_of(ConfigFields& config, const std::string& name) {
  return config.given(name) ? config.positive(name) : 0;
}

/// eps of the cell's denominator: an argument of its backend.
double denominator_eps(ConfigFields& cell) {
  constexpr double kDefault = 1e-6;  // of every backend of xlstm-jax
  const Json* backend = cell.value("backend");
  if (backend == nullptr || !backend->is_object() || !backend->contains("kwargs")) return kDefault;
  const Json& arguments = (*backend)["kwargs"];
  if (arguments.is_string()) {  // a Python dictionary, printed
    if (arguments.get_ref<const std::string&>().find("eps") == std::string::npos) return kDefault;
    cell.fail("backend.kwargs", "is a text that sets eps: this is unsupported, write an object");
  }
  if (!arguments.is_object()) return kDefault;
  ConfigFields fields(arguments, cell.where() + ", backend.kwargs");
  return fields.number("eps", kDefault);
}

void refuse_slstm(ConfigFields& config) {
  const Json* at = config.value("slstm_at");
  const bool some = at != nullptr && !(at->is_array() && at->empty());
  const bool in_map = config.text("_block_map", "").find('1') != std::string::npos;
  if (some || in_map || config.given("slstm_block") || !config.given("mlstm_block")) {
    config.fail("slstm_at", "or slstm_block asks for sLSTM blocks: they are unsupported");
  }
}

void set_feed_forward(Json& model, FlaxLayout& layout, ConfigFields& block,
                      std::int64_t hidden_size) {
  const Json* found = block.value("feedforward");
  if (found == nullptr) {
    model["ffn"] = "none";
    return;
  }
  ConfigFields ffn(*found, block.where() + ".feedforward");
  const std::string type = ffn.text("ff_type", "ffn_gated");
  if (type != "ffn_gated" && type != "ffn") {
    ffn.fail("ff_type", "is \"" + type + "\": this is unsupported; expected ffn_gated or ffn");
  }
  model["ffn"] = type == "ffn" ? "plain" : "gated";
  model["ffn_size"] = rounded_width(ffn, hidden_size, 1.3);
  model["activation"] = activation_of(ffn);
  // One switch for all biases of ours: a part without gets zeros.
  layout.ffn_bias = ffn.flag("bias", false);
  if (layout.ffn_bias) model["bias"] = true;
}

/// Fields that only the older, Mamba-like layer has.
void set_older_layer(Json& model, ConfigFields& layer, ConfigFields& cell,
                     std::int64_t hidden_size) {
  const std::int64_t inner = rounded_width(layer, hidden_size, 2.0);
  for (const char* name : {"qk_dim_factor", "v_dim_factor"}) {
    if (layer.number(name, 1.0) != 1.0) {
      layer.fail(name, "differs from 1 in a layer of type mlstm: this is unsupported");
    }
  }
  const std::string gate_input = layer.text("gate_input", "qkv");
  constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kInputs = {{
      {"qkv", "qkv"},
      {"x_mlstm", "x"},
      {"x_mlstm_conv", "conv"},
      {"x_mlstm_conv_act", "conv_act"},
  }};
  for (const auto& [theirs, ours] : kInputs) {
    if (gate_input == theirs) model["gate_input"] = ours;
  }
  if (!model.contains("gate_input")) {
    layer.fail("gate_input", "is \"" + gate_input + "\": this is unsupported");
  }
  model["layer_type"] = "mlstm";
  model["inner_size"] = inner;
  model["qk_dim"] = inner;
  model["v_dim"] = inner;
  model["conv_kernel"] = layer.size("conv1d_kernel_size", 4);
  model["qkv_block_size"] = layer.size("qkv_proj_blocksize", 4);
  model["head_norm"] = norm_kind(cell, "norm_type");
}

}  // namespace

Json flax_xlstm_model(ConfigFields& config, FlaxLayout& layout) {
  refuse_slstm(config);
  ConfigFields block(*config.value("mlstm_block"), config.where() + ": mlstm_block");
  if (!block.given("mlstm")) block.fail("mlstm", "is missing");
  ConfigFields layer(*block.value("mlstm"), block.where() + ".mlstm");
  if (!layer.given("mlstm_cell")) layer.fail("mlstm_cell", "is missing");
  ConfigFields cell(*layer.value("mlstm_cell"), layer.where() + ".mlstm_cell");

  const std::int64_t hidden_size = config.size("embedding_dim", 128);
  const std::int64_t heads = layer.size("num_heads", 4);
  const std::int64_t layers = config.size("num_blocks", 1);
  if (layers > kMostLayers) config.fail("num_blocks", fmt::format("is {}", layers));
  layer.refuse({"debug_cell"});
  const std::string norm = norm_kind(config, "norm_type");
  if (cell.given("norm_type") && norm_kind(cell, "norm_type") != norm) {
    cell.fail("norm_type", "contradicts the model's norm_type");
  }

  Json model = {
      {"family", "xlstm"},
      {"vocab_size", config.size("vocab_size")},
      {"hidden_size", hidden_size},
      {"layers", layers},
      {"heads", heads},
      {"norm", norm},
      {"norm_eps", cell.positive("norm_eps", 1e-6)},
      {"final_norm_eps", config.positive("norm_eps", 1e-6)},
      {"denominator_eps", denominator_eps(cell)},
      {"gate_soft_cap", cap_of(cell, "gate_soft_cap")},
      {"logit_soft_cap", cap_of(config, "logits_soft_cap")},
      {"bias", layer.flag("bias", config.flag("bias", false))},
      {"qk_norm", cell.flag("add_qk_norm", false)},
      {"post_norm", block.flag("add_post_norm", false)},
      {"max_length", 0},
      {"bos_id", -1},
      {"eod_ids", Json::array()},
  };
  const std::string layer_type = layer.text("layer_type", "mlstm");
  if (layer_type == "mlstm_v1") {
    model["layer_type"] = layer_type;
    model["qk_dim"] = scaled_width(layer, "qk_dim_factor", hidden_size, heads);
    model["v_dim"] = scaled_width(layer, "v_dim_factor", hidden_size, heads);
    model["head_norm"] = norm_kind(cell, "norm_type_v1");
  } else if (layer_type == "mlstm") {
    set_older_layer(model, layer, cell, hidden_size);
  } else {
    layer.fail("layer_type", "is \"" + layer_type + "\": this is unsupported");
  }
  layout.layer_bias = model.at("bias").get<bool>();
  layout.headwise_gates = cell.flag("gate_linear_headwise", false);
  layout.joint_qk = layer.flag("vmap_qk", false);
  set_feed_forward(model, layout, block, hidden_size);
  layout.scanned = config.flag("scan_blocks", false);
  layout.layers = layers;
  layout.block = layout.scanned ? "xlstm_block_stack/blocks/block" : "xlstm_block_stack/blocks/";
  // The head is never tied in xlstm-jax, and its norm always there; the rest is training or types.
  config.ignore({"tie_weights", "add_post_blocks_norm", "weight_decay_on_embedding",
                 "add_embedding_dropout", "dropout", "dtype", "lm_head_dtype", "context_length",
                 "init_distribution_embed", "init_distribution_out", "parallel"});
  return model;
}

}  // namespace gridmill::convert_detail
