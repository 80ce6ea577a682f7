#include <array>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "convert/families/decoder.hpp"
#include "convert/families/family.hpp"
#include "convert/families/recurrence.hpp"
#include "convert/foreign_model_detail.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

// xLSTMLMModel of NX-AI's xlstm package: blocks of sLSTM and of mLSTM, norms with (1 + w).
namespace gridmill::convert_detail {

namespace {

constexpr std::array<NamePair, 3> kOuter = {{
    {"embedding", "token_embedding.weight"},
    {"final_norm", "xlstm_block_stack.post_blocks_norm.weight"},
    {"head", "lm_head.weight"},
}};
constexpr std::array<NamePair, 22> kInLayer = {{
    {"mlstm_norm", "xlstm_norm.weight"},
    {"slstm_norm", "xlstm_norm.weight"},
    {"ffn_norm", "ffn_norm.weight"},
    {"q", "xlstm.q_proj.weight"},
    {"k", "xlstm.k_proj.weight"},
    {"v", "xlstm.v_proj.weight"},
    {"i_gate", "xlstm.mlstm_cell.igate.weight"},
    {"i_gate_bias", "xlstm.mlstm_cell.igate.bias"},
    {"f_gate", "xlstm.mlstm_cell.fgate.weight"},
    {"f_gate_bias", "xlstm.mlstm_cell.fgate.bias"},
    {"head_norm", "xlstm.mlstm_cell.outnorm.weight"},
    {"skip", "xlstm.learnable_skip"},
    {"out", "xlstm.proj_down.weight"},
    {"down", "ffn.proj_down.weight"},
    {"conv_bias", "xlstm.conv1d.conv.bias"},
    {"slstm.conv_bias", "xlstm.conv1d.conv.bias"},
    // The package passes its gates in this order.
    {"slstm.i_gate", "xlstm.fgate.weight"},
    {"slstm.f_gate", "xlstm.igate.weight"},
    {"slstm.z_gate", "xlstm.zgate.weight"},
    {"slstm.o_gate", "xlstm.ogate.weight"},
    {"slstm.head_norm", "xlstm.group_norm.weight"},
    {"slstm.bias", "xlstm.slstm_cell._bias_"},
}};

const NormSpec kNorm{.kind = NormKind::layer, .eps = 1e-5};
const Json kNoFields = Json::object();

/// The object `name` inside of another; an empty one if it is missing.
const Json& object_in(ConfigFields& config, const std::string& name) {
  const Json* found = config.value(name);
  if (found == nullptr) return kNoFields;
  if (!found->is_object()) config.fail(name, "is not an object");
  return *found;
}

/// factor * D, rounded up to a multiple.
std::int64_t inner_width(ConfigFields& fields, std::int64_t hidden_size, double factor) {
  const double wanted = fields.positive("proj_factor", factor) * static_cast<double>(hidden_size);
  const auto multiple = static_cast<double>(fields.size("round_proj_up_to_multiple_of", 64));
  const bool up = fields.flag("round_proj_up_dim_up", true);
  const double width =
      (up ? std::ceil(wanted / multiple) : std::floor(wanted / multiple)) * multiple;
  if (!(width >= 1 && width <= 1e9)) {
    fields.fail("proj_factor", fmt::format("gives a width of {}", width));
  }
  return static_cast<std::int64_t>(width);
}

/// Fields of the package that are copied into its parts or say how a part is initialised.
void finish(ConfigFields& fields) {
  fields.ignore({"embedding_dim",
                 "context_length",
                 "dropout",
                 "_num_blocks",
                 "_block_idx",
                 "_proj_up_dim",
                 "_inner_embedding_dim",
                 "ff_type",
                 "backend",
                 "backend_fwd",
                 "hidden_size",
                 "num_gates",
                 "num_states",
                 "initial_val",
                 "recurrent_weight_init",
                 "bias_init",
                 "batch_size",
                 "input_shape",
                 "recurrent_shape",
                 "dtype",
                 "dtype_b",
                 "dtype_r",
                 "dtype_w",
                 "dtype_g",
                 "dtype_s",
                 "dtype_a",
                 "enable_automatic_mixed_precision",
                 "gradient_recurrent_cut",
                 "batch_size_preference",
                 "internal_input_shape",
                 "output_shape",
                 "constants",
                 "residual",
                 "num_blocks"});
  fields.refuse_unread();
}

LayerSpec read_mlstm_layer(const Json& block, const std::string& where, std::int64_t hidden_size) {
  ConfigFields outer(block, where);
  ConfigFields fields(object_in(outer, "mlstm"), where + ".mlstm");
  MlstmSpec mlstm;
  mlstm.heads = fields.size("num_heads", 4);
  mlstm.v_size = inner_width(fields, hidden_size, 2);
  mlstm.qk_size = mlstm.v_size;
  mlstm.head_norm = kNorm;
  mlstm.older = OlderMlstmSpec{.conv_kernel = fields.size("conv1d_kernel_size", 4),
                               .history = true,
                               .qkv_block_size = fields.size("qkv_proj_blocksize", 4)};
  fields.refuse({"bias"});
  finish(fields);
  finish(outer);
  return {{{.norm = kNorm, .mixer = mlstm}}};
}

LayerSpec read_slstm_layer(const Json& block, const std::string& where, std::int64_t hidden_size) {
  ConfigFields outer(block, where);
  ConfigFields fields(object_in(outer, "slstm"), where + ".slstm");
  SlstmSpec slstm;
  slstm.heads = fields.size("num_heads", 4);
  slstm.conv_kernel = fields.integer("conv1d_kernel_size", 4);
  if (slstm.conv_kernel < 0) fields.fail("conv1d_kernel_size", "is negative");
  slstm.head_norm = kNorm;
  slstm.norm_weight = fields.flag("group_norm_weight", true);
  if (fields.text("function", "slstm") != "slstm") {
    fields.fail("function", "is unsupported; expected slstm");
  }
  // The cell clips what it puts out, too, where its gradient is to be clipped.
  fields.refuse({"gradient_recurrent_clipval", "forward_clipval"});
  finish(fields);
  LayerSpec layer{{{.norm = kNorm, .mixer = slstm}}};
  // Null is none; the package's own default is one.
  if (!outer.mentioned("feedforward") || outer.given("feedforward")) {
    ConfigFields ffn(object_in(outer, "feedforward"), where + ".feedforward");
    const std::int64_t size = inner_width(ffn, hidden_size, 1.3);
    const std::string act = ffn.text("act_fn", "gelu");
    FeedForwardSpec mixer{.size = size, .activation = Activation::relu_squared};
    if (act != "relu^2") mixer.activation = read_activation(ffn, "act_fn", "gelu");
    ffn.refuse({"bias"});
    finish(ffn);
    layer.blocks.push_back({.norm = kNorm, .mixer = mixer});
  }
  finish(outer);
  return layer;
}

/// Whether each block is an sLSTM.
std::vector<bool> read_slstm_blocks(ConfigFields& config, std::int64_t blocks) {
  std::vector<bool> slstm(static_cast<std::size_t>(blocks), false);
  const Json* at = config.value("slstm_at");
  if (at == nullptr) return slstm;
  if (at->is_string() && at->get<std::string>() == "all") {
    slstm.assign(slstm.size(), true);
    return slstm;
  }
  if (!at->is_array()) config.fail("slstm_at", "is neither \"all\" nor a list of blocks");
  for (const Json& index : *at) {
    if (!index.is_number_integer() || index.get<std::int64_t>() < 0 ||
        index.get<std::int64_t>() >= blocks) {
      config.fail("slstm_at", fmt::format("holds something else than blocks 0 to {}", blocks - 1));
    }
    slstm[index.get<std::size_t>()] = true;
  }
  return slstm;
}

ModelSpec read_xlstm_package(ConfigFields& config) {
  ModelSpec spec;
  spec.vocab_size = config.size("vocab_size");
  spec.hidden_size = config.size("embedding_dim");
  const std::int64_t blocks = config.size("num_blocks");
  if (blocks > kMostLayers) config.fail("num_blocks", fmt::format("is {}", blocks));
  const Json& mlstm = object_in(config, "mlstm_block");
  const Json& slstm = object_in(config, "slstm_block");
  for (const bool is_slstm : read_slstm_blocks(config, blocks)) {
    spec.layers.push_back(
        is_slstm ? read_slstm_layer(slstm, config.where() + ": slstm_block", spec.hidden_size)
                 : read_mlstm_layer(mlstm, config.where() + ": mlstm_block", spec.hidden_size));
  }
  if (config.flag("add_post_blocks_norm", true)) spec.head.norm = kNorm;
  spec.head.tied = config.flag("tie_weights", false);
  config.refuse({"bias", "add_embedding_dropout"});
  config.ignore({"model_class", "context_length", "dropout", "weight_decay_on_embedding",
                 "_block_map", "bos_token_id", "eos_token_id", "torch_dtype", "dtype",
                 "init_distribution_embed"});
  return spec;
}

bool is_cuda_layout(const WantedParameter& wanted, const std::string& prefix) {
  const std::string name = prefix + "xlstm.slstm_cell._recurrent_kernel_";
  const ForeignTensor* kernel = wanted.tensors.find(name);
  if (kernel == nullptr || kernel->shape().size() != 3) {
    throw FormatError(
        fmt::format("{} is missing or has another shape than (heads, 4 width, width) "
                    "or (heads, width, 4 width)",
                    name));
  }
  return kernel->shape()[1] < kernel->shape()[2];
}

/// Ours: [head][in][gate][out]. The package writes (head, gate, out, in), its cuda backend ours.
ParameterTake take_recurrent(const WantedParameter& wanted, const std::string& prefix,
                             std::int64_t heads) {
  const std::int64_t hd = wanted.model.hidden_size / heads;
  ParameterTake take{.tensor = prefix + "xlstm.slstm_cell._recurrent_kernel_", .shape = {}};
  if (is_cuda_layout(wanted, prefix)) {
    take.shape = {heads, hd, 4 * hd};
    take.blocks = {{.rows = {0, rows_of(wanted.spec)}, .columns = {0, 1}}};
    return take;
  }
  take.shape = {heads, 4 * hd, hd};
  for (std::int64_t head = 0; head < heads; ++head) {
    for (std::int64_t in = 0; in < hd; ++in) {
      take.blocks.push_back({.rows = {(head * hd + in) * 4 * hd, 4 * hd},
                             .columns = {0, 1},
                             .first = head * 4 * hd * hd + in,
                             .row_stride = hd});
    }
  }
  return take;
}

/// Ours: [gate][head][out]; the package's cuda backend writes (head, gate, out).
ParameterTake take_cell_bias(const WantedParameter& wanted, const std::string& prefix,
                             std::int64_t heads) {
  ParameterTake take = take_whole(prefix + "xlstm.slstm_cell._bias_", wanted.spec);
  if (!is_cuda_layout(wanted, prefix)) return take;
  const std::int64_t hd = wanted.model.hidden_size / heads;
  take.blocks.clear();
  for (std::int64_t gate = 0; gate < 4; ++gate) {
    for (std::int64_t head = 0; head < heads; ++head) {
      take.blocks.push_back({.rows = {(gate * heads + head) * hd, hd},
                             .columns = {0, 1},
                             .first = (head * 4 + gate) * hd,
                             .row_stride = 1});
    }
  }
  return take;
}

template <typename Spec>
const Spec& mixer_of(const WantedParameter& wanted) {
  for (const BlockSpec& block :
       wanted.model.layers.at(static_cast<std::size_t>(*wanted.layer)).blocks) {
    if (const auto* found = std::get_if<Spec>(&block.mixer)) return *found;
  }
  throw InternalError(wanted.spec.name + " belongs to no such block");
}

/// Blocks (groups, out, in) of a block-diagonal product; ours are a vector.
ParameterTake take_blocks(const WantedParameter& wanted, const Names& names, std::int64_t size) {
  return take_flattened(wanted, names, {rows_of(wanted.spec) / (size * size), size, size});
}

ParameterTake take_in_layer(const WantedParameter& wanted, const Names& names) {
  const std::string prefix = fmt::format(fmt::runtime(names.layer_prefix), *wanted.layer);
  const std::string& leaf = wanted.leaf;
  const std::string conv = prefix + "xlstm.conv1d.conv.weight";
  const auto taps = [&](std::int64_t count) {
    const IndexRange all{0, rows_of(wanted.spec) / count};
    return take_taps(conv, count, std::span(&all, 1));
  };
  if (leaf.starts_with("slstm.")) {
    const auto& slstm = mixer_of<SlstmSpec>(wanted);
    if (leaf == "slstm.conv") return taps(slstm.conv_kernel);
    if (leaf == "slstm.recurrent") return take_recurrent(wanted, prefix, slstm.heads);
    if (leaf == "slstm.bias") return take_cell_bias(wanted, prefix, slstm.heads);
    if (leaf.ends_with("_gate")) {
      return take_blocks(wanted, names, wanted.model.hidden_size / slstm.heads);
    }
    return take_named(wanted, names);
  }
  if (leaf == "gate" || leaf == "up") {
    const std::int64_t rows = rows_of(wanted.spec);
    return take_stacked(wanted, prefix + "ffn.proj_up.weight", leaf == "gate" ? 0 : rows, 2 * rows);
  }
  if (leaf == "up_x" || leaf == "up_z") {
    const std::int64_t rows = rows_of(wanted.spec);
    return take_stacked(wanted, prefix + "xlstm.proj_up.weight", leaf == "up_x" ? 0 : rows,
                        2 * rows);
  }
  if (leaf == "conv") return taps(mixer_of<MlstmSpec>(wanted).older->conv_kernel);
  if (leaf == "q" || leaf == "k" || leaf == "v") {
    return take_blocks(wanted, names, mixer_of<MlstmSpec>(wanted).older->qkv_block_size);
  }
  return take_named(wanted, names);
}

ParameterTake take_xlstm_package(const WantedParameter& wanted) {
  const Names names{
      .in_layer = kInLayer, .outer = kOuter, .layer_prefix = "xlstm_block_stack.blocks.{}."};
  ParameterTake take = wanted.layer ? take_in_layer(wanted, names) : take_named(wanted, names);
  if (wanted.leaf.ends_with("norm")) take.shift = 1;
  return take;
}

bool is_harmless(std::string_view tensor) { return tensor.ends_with(".causal_mask"); }

}  // namespace

Family xlstm_package_family() {
  return {.model_type = "xlstm_package",
          .architecture = "xLSTMLMModel",
          .tokens = {},
          .read = read_xlstm_package,
          .take = take_xlstm_package,
          .harmless = is_harmless};
}

}  // namespace gridmill::convert_detail
