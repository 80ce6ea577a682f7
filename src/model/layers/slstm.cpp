#include "model/layers/block.hpp"

namespace gridmill::model_detail {

void run_slstm(const BlockRun& run, const SlstmSpec& spec, const SlstmParts& parts,
               ConstDeviceMatrix input, bool accumulate, DeviceMatrix out) {
  Backend& backend = run.backend();
  Stream& stream = run.stream();
  const std::int64_t width = input.columns;
  ConstDeviceMatrix activated = input;
  if (spec.conv_kernel > 0) {
    activated = run_convolution(run, spec.conv_kernel, parts.conv, run.state.group, run.state.index,
                                input, Scratch::convolved);
  }
  const DeviceMatrix gates =
      run.workspace().matrix(stream, Scratch::cell_input, run.rows(), 4 * width);
  const auto add_gate = [&](std::int64_t gate, ConstDeviceMatrix from, PartIndex blocks) {
    backend.block_diagonal(stream, from, run.vector(blocks), spec.heads,
                           gates.columns_at(gate * width, width));
  };
  add_gate(0, activated, parts.i);
  add_gate(1, activated, parts.f);
  add_gate(2, input, parts.z);
  add_gate(3, input, parts.o);
  const DeviceMatrix y = run.workspace().matrix(stream, Scratch::cell_output, run.rows(), width);
  backend.slstm(stream, run.pass.spans,
                {.heads = static_cast<int>(spec.heads),
                 .head_width = static_cast<int>(width / spec.heads),
                 .recurrent = run.vector(parts.recurrent),
                 .bias = run.vector(parts.bias)},
                run.state.index, gates, run.pass.states.recurrent(run.state.group), y);
  const Norm norm = run.norm(spec.head_norm, {.weight = parts.head_norm});
  const DeviceMatrix h = accumulate ? y : out;
  backend.norm_groups(stream, y, norm, static_cast<int>(spec.heads), h);
  if (accumulate) backend.scale_add(stream, 1, h, 1, out);
}

}  // namespace gridmill::model_detail
