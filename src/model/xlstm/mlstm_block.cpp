#include <array>

#include "model/layers/row_parallel_detail.hpp"
#include "model/xlstm/mlstm_block_detail.hpp"

namespace gridmill::model_detail {

namespace {

const Weight& matrix(const XlstmLayer& layer, PartIndex part) {
  return layer.weights.matrices[static_cast<std::size_t>(part)];
}

ConstDeviceVector vector(const XlstmLayer& layer, PartIndex part) {
  return vector_or_none(layer.weights, part);
}

Norm block_norm(const XlstmLayer& layer, PartIndex weight, PartIndex bias) {
  return {.kind = layer.config.norm,
          .eps = layer.config.common.norm_eps,
          .weight = vector(layer, weight),
          .bias = vector(layer, bias)};
}

PackedRows normed_input(const XlstmLayer& layer, PartIndex weight, PartIndex bias) {
  const Pass& pass = layer.pass;
  const PackedRows normed =
      pass.workspace.packed(pass.context.stream, Scratch::normed, pass.x.rows, pass.x.columns);
  pass.context.backend.norm_pack(pass.context.stream, pass.x, block_norm(layer, weight, bias), {},
                                 normed);
  return normed;
}

/// Adds the product (with its bias) to the residual stream, through a norm if the model has one
/// there.
void add_output(const XlstmLayer& layer, const PackedRows& x, PartIndex weight, PartIndex bias,
                PartIndex post_norm) {
  const Pass& pass = layer.pass;
  if (post_norm < 0) {
    row_parallel_product(pass.context, pass.workspace, x, matrix(layer, weight),
                         vector(layer, bias), true, pass.x);
    return;
  }
  const DeviceMatrix out = pass.workspace.matrix(pass.context.stream, Scratch::block_output,
                                                 pass.x.rows, pass.x.columns);
  row_parallel_product(pass.context, pass.workspace, x, matrix(layer, weight), vector(layer, bias),
                       false, out);
  pass.context.backend.norm_add(pass.context.stream, out, block_norm(layer, post_norm, -1), pass.x);
}

Mlstm cell_options(const XlstmLayer& layer, bool output_gate) {
  const ExecutionContext& context = layer.pass.context;
  const MlstmWidths widths = mlstm_widths(layer.config, {context.tp.size(), context.tp.rank()});
  return {.heads = widths.heads,
          .qk_dim = widths.qk_dim,
          .v_dim = widths.v_dim,
          .gate_soft_cap = layer.config.gate_soft_cap,
          .denominator_eps = layer.config.denominator_eps,
          .q_norm = vector(layer, layer.parts.q_norm),
          .k_norm = vector(layer, layer.parts.k_norm),
          .qk_norm_kind = layer.config.norm,
          .head_norm = {.kind = layer.config.head_norm,
                        .eps = layer.config.common.norm_eps,
                        .weight = vector(layer, layer.parts.head_norm),
                        .bias = vector(layer, layer.parts.head_norm_bias)},
          .qk_norm_eps = layer.config.common.norm_eps,
          .output_gate = output_gate};
}

}  // namespace

void mlstm_block(const XlstmLayer& layer) {
  const Pass& pass = layer.pass;
  Backend& backend = pass.context.backend;
  Stream& stream = pass.context.stream;
  const Mlstm cell = cell_options(layer, true);
  const Weight& projections = matrix(layer, layer.parts.inputs);

  const PackedRows normed =
      normed_input(layer, layer.parts.mlstm_norm, layer.parts.mlstm_norm_bias);
  const DeviceMatrix inputs =
      pass.workspace.matrix(stream, Scratch::projected, pass.x.rows, projections.shape.outputs);
  backend.linear(stream, normed, projections, vector(layer, layer.parts.inputs_bias), 0, inputs);
  const PackedRows mixed = pass.workspace.packed(stream, Scratch::mixed, pass.x.rows,
                                                 std::int64_t{cell.heads} * cell.v_dim);
  backend.mlstm(stream, pass.spans, cell, layer.index, inputs, layer.state, mixed);
  add_output(layer, mixed, layer.parts.out, layer.parts.out_bias, layer.parts.mlstm_post_norm);
}

void older_mlstm_block(const XlstmLayer& layer) {
  const Pass& pass = layer.pass;
  const XlstmLayerParts& parts = layer.parts;
  Backend& backend = pass.context.backend;
  Stream& stream = pass.context.stream;
  Workspace& workspace = pass.workspace;
  const std::int64_t rows = pass.x.rows;
  const std::int64_t I = layer.config.older_layer.inner_size;
  const std::int64_t H = layer.config.common.heads;
  const std::int64_t groups = I / layer.config.older_layer.qkv_block_size;

  const PackedRows normed = normed_input(layer, parts.mlstm_norm, parts.mlstm_norm_bias);
  const DeviceMatrix up = workspace.matrix(stream, Scratch::projected, rows, 2 * I);
  backend.linear(stream, normed, matrix(layer, parts.inputs), {}, 0, up);
  const DeviceMatrix x = up.columns_at(0, I);
  const DeviceMatrix z = up.columns_at(I, I);
  const DeviceMatrix activated = workspace.matrix(stream, Scratch::activated, rows, I);
  backend.channel_affine(stream, x, vector(layer, parts.conv), vector(layer, parts.conv_bias),
                         Activation::silu, activated);

  // Columns q, k, v, i, f: what the cell reads.
  const DeviceMatrix inputs = workspace.matrix(stream, Scratch::cell_input, rows, 3 * I + 2 * H);
  backend.block_diagonal(stream, activated, vector(layer, parts.q), groups,
                         inputs.columns_at(0, I));
  backend.block_diagonal(stream, activated, vector(layer, parts.k), groups,
                         inputs.columns_at(I, I));
  backend.block_diagonal(stream, x, vector(layer, parts.v), groups, inputs.columns_at(2 * I, I));

  ConstDeviceMatrix gate_input = inputs.columns_at(0, 3 * I);
  switch (layer.config.older_layer.gate_input) {
    case GateInput::qkv:
      break;
    case GateInput::x:
      gate_input = x;
      break;
    case GateInput::conv: {
      const DeviceMatrix convolved = workspace.matrix(stream, Scratch::convolved, rows, I);
      backend.channel_affine(stream, x, vector(layer, parts.conv), vector(layer, parts.conv_bias),
                             Activation::identity, convolved);
      gate_input = convolved;
      break;
    }
    case GateInput::conv_act:
      gate_input = activated;
      break;
  }
  const PackedRows gate_rows = workspace.packed(stream, Scratch::hidden, rows, gate_input.columns);
  backend.pack_rows(stream, std::span(&gate_input, 1), gate_rows);
  backend.linear(stream, gate_rows, matrix(layer, parts.gates), vector(layer, parts.gates_bias), 0,
                 inputs.columns_at(3 * I, 2 * H));

  const DeviceMatrix h = workspace.matrix(stream, Scratch::cell_output, rows, I);
  backend.mlstm_unpacked(stream, pass.spans, cell_options(layer, false), layer.index, inputs,
                         layer.state, h);
  const PackedRows mixed = workspace.packed(stream, Scratch::mixed, rows, I);
  backend.skip_gate_pack(stream, h, vector(layer, parts.skip), activated, z, Activation::silu,
                         mixed);
  add_output(layer, mixed, parts.out, parts.out_bias, parts.mlstm_post_norm);
}

void feed_forward_block(const XlstmLayer& layer) {
  const Pass& pass = layer.pass;
  Backend& backend = pass.context.backend;
  Stream& stream = pass.context.stream;
  const Weight& down = matrix(layer, layer.parts.down);

  const PackedRows normed = normed_input(layer, layer.parts.ffn_norm, layer.parts.ffn_norm_bias);
  const PackedRows hidden =
      pass.workspace.packed(stream, Scratch::hidden, pass.x.rows, down.shape.inputs);
  if (layer.config.ffn == FeedForward::gated) {
    backend.linear_gated(stream, normed, matrix(layer, layer.parts.up),
                         vector(layer, layer.parts.up_bias), layer.config.activation, hidden);
  } else {
    backend.linear_activated(stream, normed, matrix(layer, layer.parts.up),
                             vector(layer, layer.parts.up_bias), layer.config.activation, hidden);
  }
  add_output(layer, hidden, layer.parts.down, layer.parts.down_bias, layer.parts.ffn_post_norm);
}

}  // namespace gridmill::model_detail
