// Shared code of the products of few and of many rows: offsets of weights, which inputs a block
// sums, and the epilogue.
#pragma once

#include <cuda_platform.hpp>

#include "kernels/cuda/math.cuh"
#include "kernels/cuda/product.hpp"

namespace gridmill::cuda {

/// nullptr if the weight has no such panel.
GRIDMILL_DEVICE const std::byte* panel_of(const PanelTable& table, std::int64_t panel) {
  for (int i = 0; i < table.count; ++i) {
    const std::int64_t at = panel - table.runs[i].first_panel;
    if (at >= 0 && at < table.runs[i].panels) return table.runs[i].data + at * table.panel_bytes;
  }
  return nullptr;
}

struct Slice {
  std::int64_t begin;
  std::int64_t end;
};

/// The inputs of a block, none for those behind the last.
GRIDMILL_DEVICE Slice slice_of(const ProductArgs& args, int block) {
  std::int64_t begin = args.block_inputs * block;
  std::int64_t end = begin + args.block_inputs;
  if (begin > args.x.inputs) begin = args.x.inputs;
  if (end > args.x.inputs) end = args.x.inputs;
  return {begin, end};
}

/// ExpertGate with a limit.
GRIDMILL_DEVICE float clamped_gate(float gate, float up, float limit) {
  gate = limit < gate ? limit : gate;
  up = limit < up ? limit : up;
  up = up < -limit ? -limit : up;
  return (up + 1.0F) * (gate * sigmoid_of(1.702F * gate));
}

/// Adds the weighted sum of block `block` to its row of the batch.
GRIDMILL_DEVICE void finish_weighted(const ProductArgs& args, std::int64_t row, std::int64_t output,
                                     int block, float sum) {
  if (output >= args.outputs) return;
  if (block == 0 && args.bias.size != 0) sum = sum + args.bias.data[output];
  float& out = args.out.data[(block * args.block_rows + args.rows[row]) * args.out.stride + output];
  out = fmaf(args.weights[row], sum, out);
}

/// Bias, activation and the like, and the store. Outputs behind the last are padding or nothing.
template <DType Compute>
GRIDMILL_DEVICE void finish(const ProductArgs& args, std::int64_t row, std::int64_t output,
                            float sum, float up) {
  if (args.epilogue == Epilogue::activated || args.epilogue == Epilogue::gated) {
    const std::int64_t stride = padded_inputs(args.outputs);
    if (output >= stride) return;
    float value = 0.0F;  // of the padding
    if (output < args.outputs) {
      if (args.bias.size != 0) sum = sum + args.bias.data[output];
      if (args.epilogue == Epilogue::gated) {
        if (args.bias.size != 0) up = up + args.bias.data[args.outputs + output];
        value = args.gate_limit == 0.0F ? activate_of(args.activation, sum) * up
                                        : clamped_gate(sum, up, args.gate_limit);
      } else {
        value = activate_of(args.activation, sum);
      }
    }
    store_element<Compute>(args.packed_out.data, row * stride + output, value);
    return;
  }
  if (output >= args.outputs) return;
  if (args.bias.size != 0) sum = sum + args.bias.data[output];
  float& out = args.out.data[row * args.out.stride + output];
  if (args.epilogue == Epilogue::plain) {
    out = soft_cap_of(sum, args.soft_cap);
  } else {
    out = args.accumulate ? out + sum : sum;
  }
}

}  // namespace gridmill::cuda
