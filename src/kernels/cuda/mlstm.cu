// The mLSTM recurrence of docs/numerics.md, section 6, in three kernels: gates, normalisers and n
// (small and sequential, a warp a head); C and its readout (a strip of C stays in registers while
// the tokens of a span pass); the head norm and the output gate.
#include <cuda_platform.hpp>

#include "kernels/cuda/math.cuh"
#include "kernels/cuda/mlstm.hpp"
#include "kernels/cuda/norm.cuh"
#include "kernels/cuda/panels.hpp"

namespace gridmill::cuda {

namespace {

constexpr int kWarps = 8;   ///< of a strip: each holds every 8th part of the rows of C
constexpr int kStrip = 32;  ///< columns of C, a lane each
constexpr int kLaneQk = kMostQkDim / kWarp;

struct Columns {
  int k;
  int v;
  int o;
  int input_gate;
  int forget_gate;
};

GRIDMILL_DEVICE Columns columns_of(const Mlstm& mlstm) {
  Columns at{};
  at.k = mlstm.heads * mlstm.qk_dim;
  at.v = 2 * at.k;
  at.o = at.v + mlstm.heads * mlstm.v_dim;
  at.input_gate = at.o + (mlstm.output_gate ? mlstm.heads * mlstm.v_dim : 0);
  at.forget_gate = at.input_gate + mlstm.heads;
  return at;
}

GRIDMILL_DEVICE std::int64_t state_head(const MlstmMemory& state, SlotId slot, int head) {
  return slot * state.slot_heads + state.layer_head + head;
}

/// Lane l holds elements l, l + 32, ... of a head's query or key; normalises them.
GRIDMILL_DEVICE void warp_normalize(float (&x)[kLaneQk], int size, NormKind kind, float eps,
                                    const ConstDeviceVector& weight) {
  if (weight.size == 0) return;
  const int lane = thread_index() % kWarp;
  const auto n = static_cast<float>(size);
  NormScale scale;
  if (kind == NormKind::layer) {
    float sum = 0.0F;
#pragma unroll
    for (int i = 0; i < kLaneQk; ++i) {
      if (lane + kWarp * i < size) sum = sum + x[i];
    }
    scale.mean = warp_sum(sum) / n;
  }
  float squares = 0.0F;
#pragma unroll
  for (int i = 0; i < kLaneQk; ++i) {
    if (lane + kWarp * i < size) {
      const float d = x[i] - scale.mean;
      squares = fmaf(d, d, squares);
    }
  }
  scale.factor = 1.0F / sqrtf(warp_sum(squares) / n + eps);
#pragma unroll
  for (int i = 0; i < kLaneQk; ++i) {
    if (lane + kWarp * i < size) {
      x[i] = normalized(scale, x[i], weight, ConstDeviceVector{}, lane + kWarp * i);
    }
  }
}

/// One warp for every span and head.
GRIDMILL_KERNEL void gates_kernel(MlstmArgs args) {
  const Mlstm& mlstm = args.mlstm;
  const Columns at = columns_of(mlstm);
  const TokenSpan span = args.spans[block_x()];
  const int head = block_y();
  const int lane = thread_index();
  const int qk_dim = mlstm.qk_dim;
  const std::int64_t state = state_head(args.state, span.slot, head);
  const float scale = 1.0F / sqrtf(static_cast<float>(qk_dim));
  float n[kLaneQk] = {};
#pragma unroll
  for (int i = 0; i < kLaneQk; ++i) {
    const int a = lane + kWarp * i;
    if (a < qk_dim) n[i] = args.state.n[state * qk_dim + a];
  }
  float m = args.state.m[state];
  for (std::int64_t row = span.row; row < span.row + span.tokens; ++row) {
    const float* x = args.inputs.data + row * args.inputs.stride;
    float q[kLaneQk] = {};
    float k[kLaneQk] = {};
#pragma unroll
    for (int i = 0; i < kLaneQk; ++i) {
      const int a = lane + kWarp * i;
      if (a < qk_dim) {
        q[i] = x[head * qk_dim + a];
        k[i] = x[at.k + head * qk_dim + a];
      }
    }
    warp_normalize(q, qk_dim, mlstm.qk_norm_kind, mlstm.qk_norm_eps, mlstm.q_norm);
    warp_normalize(k, qk_dim, mlstm.qk_norm_kind, mlstm.qk_norm_eps, mlstm.k_norm);
    const float input = soft_cap_of(x[at.input_gate + head], mlstm.gate_soft_cap);
    const float forget = soft_cap_of(x[at.forget_gate + head], mlstm.gate_soft_cap);
    const float a_gate = log_sigmoid_of(forget) + m;
    m = larger_of(a_gate, input);
    const float f = exp_of(a_gate - m);
    const float i_gate = exp_of(input - m);
    float* factors = args.factors + (row * mlstm.heads + head) * mlstm_factors(qk_dim);
    float product = 0.0F;
#pragma unroll
    for (int i = 0; i < kLaneQk; ++i) {
      const int a = lane + kWarp * i;
      if (a < qk_dim) {
        const float qs = q[i] * scale;
        const float ik = i_gate * k[i];
        n[i] = fmaf(f, n[i], ik);
        product = fmaf(qs, n[i], product);
        factors[a] = qs;
        factors[qk_dim + a] = ik;
      }
    }
    const float normalizer = fabsf(warp_sum(product));
    if (lane == 0) {
      factors[2 * qk_dim] = f;
      factors[2 * qk_dim + 1] = larger_of(normalizer, exp_of(-m)) + mlstm.denominator_eps;
    }
  }
#pragma unroll
  for (int i = 0; i < kLaneQk; ++i) {
    const int a = lane + kWarp * i;
    if (a < qk_dim) args.state.n[state * qk_dim + a] = n[i];
  }
  if (lane == 0) args.state.m[state] = m;
}

/// A strip of 32 columns of C for every span and head: warp w holds `Rows` rows from w * rows on,
/// in registers. h is the sum over ascending rows in a warp, then a tree over the warps.
template <int Rows>
GRIDMILL_KERNEL void cell_kernel(MlstmArgs args) {
  GRIDMILL_SHARED float sums[2][kWarps][kStrip];  // two tokens in turn: one barrier each
  const Mlstm& mlstm = args.mlstm;
  const int qk_dim = mlstm.qk_dim;
  const TokenSpan span = args.spans[block_x()];
  const int head = block_y();
  const int lane = thread_index() % kWarp;
  const int warp = thread_index() / kWarp;
  const int column = block_z() * kStrip + lane;
  const bool live = column < mlstm.v_dim;
  const int rows = (qk_dim + kWarps - 1) / kWarps;
  const int first = warp * rows;
  const int left = qk_dim - first;
  const int count = left < rows ? left : rows;
  float* c_memory = args.state.c + state_head(args.state, span.slot, head) * qk_dim * mlstm.v_dim +
                    static_cast<std::int64_t>(first) * mlstm.v_dim + column;
  float c[Rows] = {};
#pragma unroll
  for (int i = 0; i < Rows; ++i) {
    if (live && i < count) c[i] = c_memory[static_cast<std::int64_t>(i) * mlstm.v_dim];
  }
  const int value_at = 2 * mlstm.heads * qk_dim + head * mlstm.v_dim + column;
  for (int t = 0; t < span.tokens; ++t) {
    const std::int64_t row = span.row + t;
    const float* factors = args.factors + (row * mlstm.heads + head) * mlstm_factors(qk_dim);
    const float f = factors[2 * qk_dim];
    const float v = live ? args.inputs.data[row * args.inputs.stride + value_at] : 0.0F;
    float h = 0.0F;
#pragma unroll
    for (int i = 0; i < Rows; ++i) {
      if (i < count) {
        c[i] = fmaf(f, c[i], factors[qk_dim + first + i] * v);
        h = fmaf(factors[first + i], c[i], h);
      }
    }
    float(&mine)[kWarps][kStrip] = sums[t % 2];
    mine[warp][lane] = h;
    barrier();
    if (warp == 0 && live) {
      const float sum = ((mine[0][lane] + mine[1][lane]) + (mine[2][lane] + mine[3][lane])) +
                        ((mine[4][lane] + mine[5][lane]) + (mine[6][lane] + mine[7][lane]));
      args.h.data[row * args.h.stride + head * mlstm.v_dim + column] =
          sum / factors[2 * qk_dim + 1];
    }
  }
#pragma unroll
  for (int i = 0; i < Rows; ++i) {
    if (live && i < count) c_memory[static_cast<std::int64_t>(i) * mlstm.v_dim] = c[i];
  }
}

/// Head norm and output gate of one row and head.
template <DType Compute>
GRIDMILL_KERNEL void readout_kernel(MlstmArgs args) {
  GRIDMILL_SHARED float scratch[8];
  const Mlstm& mlstm = args.mlstm;
  const std::int64_t row = block_x();
  const int head = block_y();
  const std::int64_t first = static_cast<std::int64_t>(head) * mlstm.v_dim;
  const std::int64_t width = static_cast<std::int64_t>(mlstm.heads) * mlstm.v_dim;
  float* h = args.h.data + row * args.h.stride + first;
  const Norm& norm = mlstm.head_norm;
  const NormScale scale = norm_scale(norm.kind, norm.eps, h, mlstm.v_dim, scratch);
  const float* o = args.inputs.data + row * args.inputs.stride + columns_of(mlstm).o + first;
  for (int i = thread_index(); i < mlstm.v_dim; i += kRowThreads) {
    float value = normalized(scale, h[i], norm.weight, norm.bias, first + i);
    if (args.gated) value = sigmoid_of(o[i]) * value;
    if (args.unpacked) {
      h[i] = value;
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

void launch_mlstm(LaunchStream stream, DType compute_dtype, const MlstmArgs& args) {
  const auto spans = static_cast<unsigned>(args.span_count);
  const auto heads = static_cast<unsigned>(args.mlstm.heads);
  const auto strips = static_cast<unsigned>((args.mlstm.v_dim + kStrip - 1) / kStrip);
  launch(stream, gates_kernel, {spans, heads, 1}, kWarp, 0, args);
  const int rows = (args.mlstm.qk_dim + kWarps - 1) / kWarps;
  auto* cell = rows <= 8    ? cell_kernel<8>
               : rows <= 32 ? cell_kernel<32>
                            : cell_kernel<kMostQkDim / kWarps>;
  launch(stream, cell, {spans, heads, strips}, kWarps * kWarp, 0, args);
  launch(stream,
         compute_dtype == DType::bf16 ? readout_kernel<DType::bf16> : readout_kernel<DType::fp32>,
         {static_cast<unsigned>(args.h.rows), heads, 1}, kRowThreads, 0, args);
}

}  // namespace gridmill::cuda
