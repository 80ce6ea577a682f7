#include "model/layers/block.hpp"

namespace gridmill::model_detail {

namespace {

Mlstm cell_options(const BlockRun& run, const MlstmSpec& spec, const MlstmParts& parts,
                   bool output_gate) {
  Mlstm cell{.heads = static_cast<int>(head_slice(run.tp(), spec.heads).count),
             .qk_dim = static_cast<int>(spec.qk_size / spec.heads),
             .v_dim = static_cast<int>(spec.v_size / spec.heads),
             .gate_soft_cap = static_cast<float>(spec.gate_soft_cap),
             .denominator_eps = static_cast<float>(spec.denominator_eps),
             .q_norm = run.vector(parts.q_norm),
             .k_norm = run.vector(parts.k_norm),
             .head_norm = run.norm(spec.head_norm, parts.head_norm),
             .output_gate = output_gate};
  if (spec.qk_norm) {
    cell.qk_norm_kind = spec.qk_norm->kind;
    cell.qk_norm_eps = static_cast<float>(spec.qk_norm->eps);
  }
  return cell;
}

/// Input gates and forget gates, from what `gate_input` says.
void add_gates(const BlockRun& run, const MlstmSpec& spec, const MlstmParts& parts,
               ConstDeviceMatrix x, DeviceMatrix activated, DeviceMatrix inputs) {
  const std::int64_t I = spec.v_size;
  ConstDeviceMatrix gate_input = inputs.columns_at(0, 3 * I);
  switch (spec.older->gate_input) {
    case GateInput::qkv:
      break;
    case GateInput::x:
      gate_input = x;
      break;
    case GateInput::conv: {
      const DeviceMatrix convolved =
          run.workspace().matrix(run.stream(), Scratch::convolved, run.rows(), I);
      run.backend().channel_affine(run.stream(), x, run.vector(parts.conv.weight),
                                   run.vector(parts.conv.bias), Activation::identity, convolved);
      gate_input = convolved;
      break;
    }
    case GateInput::conv_act:
      gate_input = activated;
      break;
  }
  const PackedRows gate_rows =
      run.workspace().packed(run.stream(), Scratch::hidden, run.rows(), gate_input.columns);
  run.backend().pack_rows(run.stream(), std::span(&gate_input, 1), gate_rows);
  run.backend().linear(run.stream(), gate_rows, run.matrix(parts.gates.weight),
                       run.vector(parts.gates.bias), 0, inputs.columns_at(3 * I, 2 * spec.heads));
}

/// silu(convolution). That of xlstm-jax has no state in generation: only the last tap ever sees
/// data, so it is an affine map of each channel.
DeviceMatrix activate(const BlockRun& run, const MlstmSpec& spec, const MlstmParts& parts,
                      ConstDeviceMatrix x) {
  if (spec.older->history) {
    return run_convolution(run, spec.older->conv_kernel, parts.conv, run.state.tail_group,
                           run.state.tail_index, x, Scratch::activated);
  }
  const DeviceMatrix activated =
      run.workspace().matrix(run.stream(), Scratch::activated, run.rows(), x.columns);
  run.backend().channel_affine(run.stream(), x, run.vector(parts.conv.weight),
                               run.vector(parts.conv.bias), Activation::silu, activated);
  return activated;
}

/// The older layer type of xlstm-jax and of NX-AI's xlstm package.
MixerOutput run_older_mlstm(const BlockRun& run, const MlstmSpec& spec, const MlstmParts& parts,
                            const PackedRows& input) {
  Backend& backend = run.backend();
  Stream& stream = run.stream();
  const std::int64_t rows = run.rows();
  const std::int64_t I = spec.v_size;
  const std::int64_t groups = I / spec.older->qkv_block_size;

  const DeviceMatrix up = run.linear(input, parts.inputs, Scratch::projected);
  const DeviceMatrix x = up.columns_at(0, I);
  const DeviceMatrix z = up.columns_at(I, I);
  const DeviceMatrix activated = activate(run, spec, parts, x);

  // Columns q, k, v, i, f: what the cell reads.
  const DeviceMatrix inputs =
      run.workspace().matrix(stream, Scratch::cell_input, rows, 3 * I + 2 * spec.heads);
  backend.block_diagonal(stream, activated, run.vector(parts.q), groups, inputs.columns_at(0, I));
  backend.block_diagonal(stream, activated, run.vector(parts.k), groups, inputs.columns_at(I, I));
  backend.block_diagonal(stream, x, run.vector(parts.v), groups, inputs.columns_at(2 * I, I));
  add_gates(run, spec, parts, x, activated, inputs);

  const DeviceMatrix h = run.workspace().matrix(stream, Scratch::cell_output, rows, I);
  backend.mlstm_unpacked(stream, run.pass.spans, cell_options(run, spec, parts, false),
                         run.state.index, inputs, run.pass.states.mlstm(run.state.group), h);
  const PackedRows mixed = run.workspace().packed(stream, Scratch::mixed, rows, I);
  backend.skip_gate_pack(stream, h, run.vector(parts.skip), activated, z, Activation::silu, mixed);
  return {mixed, parts.out};
}

}  // namespace

MixerOutput run_mixer(const BlockRun& run, const MlstmSpec& spec, const MlstmParts& parts,
                      const PackedRows& input) {
  if (spec.older) return run_older_mlstm(run, spec, parts, input);
  const Mlstm cell = cell_options(run, spec, parts, true);
  const std::int64_t width = run.matrix(parts.inputs.weight).shape.outputs;
  const std::int64_t gates = run.matrix(parts.gates.weight).shape.outputs;
  const DeviceMatrix inputs =
      run.workspace().matrix(run.stream(), Scratch::projected, run.rows(), width + gates);
  run.backend().linear(run.stream(), input, run.matrix(parts.inputs.weight),
                       run.vector(parts.inputs.bias), 0, inputs.columns_at(0, width));
  run.backend().linear(run.stream(), input, run.matrix(parts.gates.weight),
                       run.vector(parts.gates.bias), 0, inputs.columns_at(width, gates));
  const PackedRows mixed = run.workspace().packed(run.stream(), Scratch::mixed, run.rows(),
                                                  std::int64_t{cell.heads} * cell.v_dim);
  run.backend().mlstm(run.stream(), run.pass.spans, cell, run.state.index, inputs,
                      run.pass.states.mlstm(run.state.group), mixed);
  return {mixed, parts.out};
}

}  // namespace gridmill::model_detail
