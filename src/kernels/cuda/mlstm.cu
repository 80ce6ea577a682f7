// The mLSTM recurrence of docs/numerics.md, section 6: its factors (mlstm_factors.cu), its state
// and the sums of h (mlstm_cell.cu), and here what becomes of h.
#include <cuda_platform.hpp>

#include "kernels/cuda/math.cuh"
#include "kernels/cuda/mlstm.cuh"
#include "kernels/cuda/norm.cuh"
#include "kernels/cuda/panels.hpp"

namespace gridmill::cuda {

namespace {

/// What h is divided by, for every lane of a warp.
GRIDMILL_DEVICE float denominator_of(const MlstmArgs& args, std::int64_t row, int head) {
  const int qk_dim = args.mlstm.qk_dim;
  const MlstmParts parts = parts_of(qk_dim);
  const MlstmFactors factors = factors_of(args, row, head, parts.room);
  float product = 0.0F;
#pragma unroll
  for (int i = 0; i < kMostQkDim / kWarp; ++i) {
    const int a = thread_index() % kWarp + kWarp * i;
    if (a < qk_dim) {
      const int place = place_of(parts, a);
      product = fmaf(factors.q[place], factors.n[place], product);
    }
  }
  const float normalizer = fabsf(warp_sum(product));
  return larger_of(normalizer, exp_of(-factors.gates->m)) + args.mlstm.denominator_eps;
}

/// Denominator, head norm and output gate of one row and head.
template <DType Compute>
GRIDMILL_KERNEL void readout_kernel(MlstmArgs args) {
  GRIDMILL_SHARED float scratch[8];
  GRIDMILL_SHARED float shown;
  const Mlstm& mlstm = args.mlstm;
  const std::int64_t row = block_x();
  const int head = block_y();
  const std::int64_t first = static_cast<std::int64_t>(head) * mlstm.v_dim;
  const std::int64_t width = static_cast<std::int64_t>(mlstm.heads) * mlstm.v_dim;
  if (thread_index() < kWarp) {
    const float denominator = denominator_of(args, row, head);
    if (thread_index() == 0) shown = denominator;
  }
  barrier();
  const float denominator = shown;
  float* sums = args.h.data + row * args.h.stride + first;
  const auto h = [&](std::int64_t i, int /*step*/) { return sums[i] / denominator; };
  const Norm& norm = mlstm.head_norm;
  const NormScale scale = norm_scale<0>(norm.kind, norm.eps, h, mlstm.v_dim, scratch);
  const float* o = args.inputs.data + row * args.inputs.stride + columns_of(mlstm).o + first;
  for (int i = thread_index(); i < mlstm.v_dim; i += kRowThreads) {
    float value = normalized(scale, h(i, 0), norm.weight, norm.bias, first + i);
    if (args.gated) value = sigmoid_of(o[i]) * value;
    if (args.unpacked) {
      sums[i] = value;
    } else {
      store_element<Compute>(args.packed.data, row * padded_inputs(width) + first + i, value);
    }
  }
  if (!args.unpacked && head == mlstm.heads - 1) {
    for (std::int64_t i = width + thread_index(); i < padded_inputs(width); i += kRowThreads) {
      store_element<Compute>(args.packed.data, row * padded_inputs(width) + i, 0.0F);
    }
  }
}

}  // namespace

void launch_mlstm_readout(LaunchStream stream, DType compute_dtype, const MlstmArgs& args) {
  launch(stream,
         compute_dtype == DType::bf16 ? readout_kernel<DType::bf16> : readout_kernel<DType::fp32>,
         {static_cast<unsigned>(args.h.rows), static_cast<unsigned>(args.mlstm.heads), 1},
         kRowThreads, 0, args);
}

void launch_mlstm(LaunchStream stream, DType compute_dtype, const MlstmArgs& args) {
  launch_mlstm_factors(stream, args);
  launch_mlstm_cell(stream, args);
  launch_mlstm_readout(stream, compute_dtype, args);
}

}  // namespace gridmill::cuda
