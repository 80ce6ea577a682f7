#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "convert/xlstm_jax_detail.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill::convert_detail {

namespace {

const std::string kLayer = "xlstm_res_block/xlstm/";
const std::string kInner = kLayer + "inner_layer/sharded/";

enum class Form : std::uint8_t { column_parallel, row_parallel, norm };

/// A parameter that both layer types, or the newer one, keep in a module of its own.
struct ModuleRow {
  std::string_view leaf;    ///< ours
  std::string_view module;  ///< theirs, below the block
  Form form;
};
constexpr std::array kModules = {
    ModuleRow{"mlstm_norm", "xlstm_res_block/xlstm_norm", Form::norm},
    ModuleRow{"mlstm_post_norm", "xlstm_res_block/xlstm_post_norm", Form::norm},
    ModuleRow{"ffn_norm", "ffn_res_block/ffn_norm", Form::norm},
    ModuleRow{"ffn_post_norm", "ffn_res_block/ffn_post_norm", Form::norm},
    ModuleRow{"o_gate", "xlstm_res_block/xlstm/dense_o", Form::column_parallel},
    ModuleRow{"up_x", "xlstm_res_block/xlstm/proj_up_mlstm", Form::column_parallel},
    ModuleRow{"up_z", "xlstm_res_block/xlstm/proj_up_z", Form::column_parallel},
    ModuleRow{"out", "xlstm_res_block/xlstm/proj_down", Form::row_parallel},
    ModuleRow{"gate", "ffn_res_block/ffn/proj_up_gate", Form::column_parallel},
    ModuleRow{"up", "ffn_res_block/ffn/proj_up", Form::column_parallel},
    ModuleRow{"down", "ffn_res_block/ffn/proj_down", Form::row_parallel},
};
/// Only layer type mlstm_v1; the older one has other forms under these names.
constexpr std::array kModulesV1 = {
    ModuleRow{"q", "xlstm_res_block/xlstm/dense_q", Form::column_parallel},
    ModuleRow{"k", "xlstm_res_block/xlstm/dense_k", Form::column_parallel},
    ModuleRow{"v", "xlstm_res_block/xlstm/dense_v", Form::column_parallel},
    ModuleRow{"i_gate", "xlstm_res_block/xlstm/igate", Form::column_parallel},
    ModuleRow{"f_gate", "xlstm_res_block/xlstm/fgate", Form::column_parallel},
};

ParameterTake take_module(const ParameterSpec& spec, std::int64_t layer, const ModuleRow& row,
                          bool bias, const FlaxTakes& takes) {
  const std::string module(row.module);
  if (row.form == Form::norm) {
    return takes.sharded_flat(spec, layer, module + "/sharded/scale", spec.shape);
  }
  if (!bias) {
    return row.form == Form::row_parallel ? takes.row_parallel(spec, layer, module)
                                          : takes.column_parallel(spec, layer, module);
  }
  const bool gate = row.leaf == "i_gate" || row.leaf == "f_gate";
  const bool has_bias = module.starts_with("ffn_res_block") ? takes.layout().ffn_bias
                                                            : takes.layout().layer_bias || gate;
  if (!has_bias) return take_zeros(spec);
  return row.form == Form::row_parallel ? takes.row_bias(spec, layer, module)
                                        : takes.column_bias(spec, layer, module);
}

/// The tap of the convolution that a single token meets: the last of (parts, K, 1, I / parts).
ParameterTake take_last_tap(const ParameterSpec& spec, std::int64_t layer, const Json& model,
                            const FlaxTakes& takes) {
  const std::string suffix = kInner + "conv1d/conv/kernel";
  const auto taps = model.at("conv_kernel").get<std::int64_t>();
  const std::string path = takes.layout().path(layer, suffix);
  const std::int64_t parts = std::max<std::int64_t>(1, takes.parts(path));
  const std::int64_t width = rows_of(spec) / parts;
  ParameterTake take{.tensor = path, .shape = takes.extents(parts, {taps, 1, width})};
  const std::int64_t first_part = takes.layout().scanned ? layer * parts : 0;
  for (std::int64_t part = 0; part < parts; ++part) {
    take.blocks.push_back({.rows = {part * width, width},
                           .columns = {0, 1},
                           .first = ((first_part + part) * taps + taps - 1) * width,
                           .row_stride = 1,
                           .column_stride = 1});
  }
  return take;
}

/// Block-diagonal projections; q and k may share an array (parts, 2, blocks / parts, out, in).
ParameterTake take_blocks(const ParameterSpec& spec, std::int64_t layer, const std::string& leaf,
                          const Json& model, const FlaxTakes& takes) {
  const auto block = model.at("qkv_block_size").get<std::int64_t>();
  const std::int64_t blocks = element_count(spec.shape) / (block * block);
  if (!takes.layout().joint_qk || leaf == "v") {
    return takes.sharded_flat(spec, layer, kInner + leaf + "_proj/kernel", {blocks, block, block});
  }
  const std::string path = takes.layout().path(layer, kInner + "qk_proj/kernel");
  const std::int64_t parts = std::max<std::int64_t>(1, takes.parts(path));
  const std::int64_t size = element_count(spec.shape) / parts;
  ParameterTake take{.tensor = path,
                     .shape = takes.extents(parts, {2, blocks / parts, block, block})};
  const std::int64_t first_part = takes.layout().scanned ? layer * parts : 0;
  for (std::int64_t part = 0; part < parts; ++part) {
    take.blocks.push_back({.rows = {part * size, size},
                           .columns = {0, 1},
                           .first = ((first_part + part) * 2 + (leaf == "k" ? 1 : 0)) * size,
                           .row_stride = 1,
                           .column_stride = 1});
  }
  return take;
}

/// Gates of the older layer: dense over all inputs, or every head's over its own share of each of
/// q, k, v (or of the one input); ours are dense, with zeros elsewhere.
ParameterTake take_gate(const ParameterSpec& spec, std::int64_t layer, const std::string& module,
                        const Json& model, const FlaxTakes& takes) {
  const std::string suffix = kInner + "mlstm_cell/" + module + "/kernel";
  const std::int64_t heads = rows_of(spec);
  const std::int64_t inputs = columns_of(spec);
  if (!takes.layout().headwise_gates) {
    return takes.kernel(spec, layer, suffix, {1, inputs, heads});
  }
  const auto inner = model.at("inner_size").get<std::int64_t>();
  const std::int64_t sources = inputs / inner;
  const std::int64_t share = inner / heads;
  const std::int64_t per_head = sources * share;
  ParameterTake take =
      takes.sharded_flat({spec.name, {heads, per_head}}, layer, suffix, {heads, 1, per_head});
  const std::int64_t start = take.blocks[0].first;
  take.blocks.clear();
  for (std::int64_t head = 0; head < heads; ++head) {
    for (std::int64_t source = 0; source < sources; ++source) {
      take.blocks.push_back({.rows = {head, 1},
                             .columns = {source * inner + head * share, share},
                             .first = start + head * per_head + source * share,
                             .row_stride = share,
                             .column_stride = 1});
    }
  }
  return take;
}

ParameterTake take_older(const ParameterSpec& spec, std::int64_t layer, const std::string& leaf,
                         const Json& model, const FlaxTakes& takes) {
  const auto heads = model.at("heads").get<std::int64_t>();
  const std::string cell = kInner + "mlstm_cell/";
  const auto flat = [&](const std::string& suffix) {
    return takes.sharded_flat(spec, layer, suffix, spec.shape);
  };
  if (leaf == "conv") return take_last_tap(spec, layer, model, takes);
  if (leaf == "conv_bias") return flat(kInner + "conv1d/conv/bias");
  if (leaf == "skip") return flat(kInner + "learnable_skip");
  if (leaf == "q" || leaf == "k" || leaf == "v") {
    return take_blocks(spec, layer, leaf, model, takes);
  }
  if (leaf == "i_gate") return take_gate(spec, layer, "igate", model, takes);
  if (leaf == "f_gate") return take_gate(spec, layer, "fgate", model, takes);
  if (leaf == "i_gate_bias") return flat(cell + "igate/bias");
  if (leaf == "f_gate_bias") return flat(cell + "fgate/bias");
  if (leaf == "head_norm") {
    return takes.sharded_flat(spec, layer, cell + "outnorm/scale", {heads, rows_of(spec) / heads});
  }
  if (leaf == "q_norm" || leaf == "k_norm") {
    return takes.flat(spec, layer, cell + leaf + "/scale", {1, rows_of(spec)});
  }
  throw_no_source(spec.name);
}

ParameterTake take_v1(const ParameterSpec& spec, std::int64_t layer, const std::string& leaf,
                      const Json& model, const FlaxTakes& takes) {
  const auto heads = model.at("heads").get<std::int64_t>();
  if (leaf == "head_norm") {
    return takes.sharded_flat(spec, layer, kLayer + "outnorm/sharded/scale",
                              {heads, rows_of(spec) / heads});
  }
  if (leaf == "q_norm" || leaf == "k_norm") {
    return takes.flat(spec, layer, kLayer + leaf + "/scale", spec.shape);
  }
  throw_no_source(spec.name);
}

}  // namespace

ParameterTake take_flax_head(const ParameterSpec& spec) {
  if (spec.name == "final_norm") return take_whole("lm_head/out_norm/scale", spec);
  if (spec.name != "head") throw_no_source(spec.name);
  const std::int64_t rows = rows_of(spec);
  const std::int64_t columns = columns_of(spec);
  return {.tensor = "lm_head/out_dense/kernel",
          .shape = {columns, rows},
          .blocks = {{.rows = {0, rows},
                      .columns = {0, columns},
                      .first = 0,
                      .row_stride = 1,
                      .column_stride = rows}}};
}

ParameterTake take_from_flax_xlstm(const ParameterSpec& spec, const Json& model,
                                   const FlaxTakes& takes) {
  const auto [layer, leaf] = split_parameter_name(spec.name);
  if (!layer) {
    if (leaf == "embedding") return takes.embedding(spec, "token_embedding/sharded/embedding");
    return take_flax_head(spec);
  }
  const bool older = model.at("layer_type") == "mlstm";
  constexpr std::string_view kBias = "_bias";
  const bool bias = leaf.ends_with(kBias);
  const std::string_view plain =
      std::string_view(leaf).substr(0, leaf.size() - (bias ? kBias.size() : 0));
  for (const ModuleRow& row : kModules) {
    if (row.leaf == plain) return take_module(spec, *layer, row, bias, takes);
  }
  if (older) return take_older(spec, *layer, leaf, model, takes);
  for (const ModuleRow& row : kModulesV1) {
    if (row.leaf == plain) return take_module(spec, *layer, row, bias, takes);
  }
  return take_v1(spec, *layer, leaf, model, takes);
}

}  // namespace gridmill::convert_detail
