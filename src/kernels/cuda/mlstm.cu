// The mLSTM recurrence of docs/numerics.md, section 6: its factors (mlstm_factors.cu), its state
// and the sums of h (mlstm_cell.cu), and here what becomes of h.
#include <cuda_platform.hpp>

#include "kernels/cuda/math.cuh"
#include "kernels/cuda/mlstm.cuh"
#include "kernels/cuda/norm.cuh"
#include "kernels/cuda/panels.hpp"

namespace gridmill::cuda {

namespace {

/// Values of a head that a thread keeps, so that memory is waited for once; wider heads are read
/// again.
constexpr int kKept = 2;

/// q n of a head, for every lane of a warp. `Whole`: parts have as many rows as they have room.
template <bool Whole>
GRIDMILL_DEVICE float product_of(const MlstmFactors& factors, const MlstmParts& parts, int qk_dim) {
  constexpr int kAhead = 8;  // elements that a lane loads before it multiplies
  float product = 0.0F;
#pragma unroll 1
  for (int first = thread_index() % kWarp; first < qk_dim; first += kWarp * kAhead) {
    float q[kAhead] = {};
    float n[kAhead] = {};
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const int a = first + kWarp * i;
      const int place = Whole ? a : place_of(parts, a);
      if (a < qk_dim) {
        q[i] = factors.q[place];
        n[i] = factors.n[place];
      }
    }
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      if (first + kWarp * i < qk_dim) product = fmaf(q[i], n[i], product);
    }
  }
  return warp_sum(product);
}

/// Denominator of h, for every lane of a warp.
GRIDMILL_DEVICE float denominator_of(const MlstmArgs& args, std::int64_t row, int head) {
  const int qk_dim = args.mlstm.qk_dim;
  const MlstmParts parts = parts_of(qk_dim);
  const MlstmFactors factors = factors_of(args, row, head, parts.room);
  const float m = factors.gates->m;
  const float product = parts.room == parts.rows ? product_of<true>(factors, parts, qk_dim)
                                                 : product_of<false>(factors, parts, qk_dim);
  return larger_of(fabsf(product), exp_of(-m)) + args.mlstm.denominator_eps;
}

/// Denominator, head norm and output gate of one row and head. A thread has at most `Most` values,
/// any number if that is 0.
template <DType Compute, int Most>
GRIDMILL_KERNEL void GRIDMILL_BOUNDS(kRowThreads, 4) readout_kernel(MlstmArgs args) {
  GRIDMILL_SHARED float scratch[8];
  GRIDMILL_SHARED float shown;
  const Mlstm& mlstm = args.mlstm;
  const std::int64_t row = block_x();
  const int head = block_y();
  const std::int64_t first = static_cast<std::int64_t>(head) * mlstm.v_dim;
  const std::int64_t width = static_cast<std::int64_t>(mlstm.heads) * mlstm.v_dim;
  float* sums = args.h.data + row * args.h.stride + first;
  const float* o = args.inputs.data + row * args.inputs.stride + columns_of(mlstm).o + first;
  const Norm& norm = mlstm.head_norm;
  const bool weighs = norm.weight.size != 0;
  const bool adds = weighs && norm.bias.size != 0;
  struct Value {
    float sum;
    float gate;
    float weight;
    float bias;
  };
  const auto load = [&](std::int64_t i) {
    return Value{sums[i], args.gated ? o[i] : 0.0F, weighs ? norm.weight.data[first + i] : 0.0F,
                 adds ? norm.bias.data[first + i] : 0.0F};
  };
  Value kept[Most + 1] = {};
  if constexpr (Most > 0) {
    for_own_elements<Most>(mlstm.v_dim, [&](std::int64_t i, int step) { kept[step] = load(i); });
  }
  if (thread_index() < kWarp) {
    const float denominator = denominator_of(args, row, head);
    if (thread_index() == 0) shown = denominator;
  }
  barrier();
  const float denominator = shown;
  const auto h = [&](std::int64_t i, int step) {
    return (Most > 0 ? kept[step].sum : sums[i]) / denominator;
  };
  const NormScale scale = norm_scale<Most>(norm.kind, norm.eps, h, mlstm.v_dim, scratch);
  for_own_elements<Most>(mlstm.v_dim, [&](std::int64_t i, int step) {
    const Value own = Most > 0 ? kept[step] : load(i);
    float value = normalized(scale, own.sum / denominator, weighs, own.weight, adds, own.bias);
    if (args.gated) value = sigmoid_of(own.gate) * value;
    if (args.unpacked) {
      sums[i] = value;
    } else {
      store_element<Compute>(args.packed.data, row * padded_inputs(width) + first + i, value);
    }
  });
  if (!args.unpacked && head == mlstm.heads - 1) {
    for (std::int64_t i = width + thread_index(); i < padded_inputs(width); i += kRowThreads) {
      store_element<Compute>(args.packed.data, row * padded_inputs(width) + i, 0.0F);
    }
  }
}

template <int Most>
void launch_readout(LaunchStream stream, DType compute_dtype, const MlstmArgs& args) {
  auto* kernel = compute_dtype == DType::bf16 ? readout_kernel<DType::bf16, Most>
                                              : readout_kernel<DType::fp32, Most>;
  launch(stream, kernel,
         {static_cast<unsigned>(args.h.rows), static_cast<unsigned>(args.mlstm.heads), 1},
         kRowThreads, 0, args);
}

}  // namespace

void launch_mlstm_readout(LaunchStream stream, DType compute_dtype, const MlstmArgs& args) {
  auto* const launch_with =
      args.mlstm.v_dim <= kKept * kRowThreads ? launch_readout<kKept> : launch_readout<0>;
  launch_with(stream, compute_dtype, args);
}

void launch_mlstm(LaunchStream stream, DType compute_dtype, const MlstmArgs& args) {
  launch_mlstm_factors(stream, args);
  launch_mlstm_cell(stream, args);
  launch_mlstm_readout(stream, compute_dtype, args);
}

}  // namespace gridmill::cuda
