// Factors of the mLSTM recurrence of docs/numerics.md, section 6: normed and scaled
// queries, normed keys times the input gate, the forget gate. Only m goes from token to token;
// where spans have more than one, a kernel of its own walks through it, and all else is done for
// all rows at once.
#include <cuda_platform.hpp>

#include "kernels/cuda/math.cuh"
#include "kernels/cuda/mlstm.cuh"
#include "kernels/cuda/norm.cuh"

namespace gridmill::cuda {

namespace {

constexpr int kLaneQk = kMostQkDim / kWarp;
constexpr int kGateTokens = 1024;  ///< that are walked through at a time, by as many threads
constexpr int kAhead = 16;         ///< tokens that are loaded before m goes through them
constexpr int kFactorWarps = 4;    ///< of a thread block, each with a row and head of its own

/// Inputs of the gates of a token, besides m. Both are NaN if the input gate is.
struct GateInputs {
  float log_forget;
  float input;
};

GRIDMILL_DEVICE GateInputs gate_inputs_of(const Mlstm& mlstm, const MlstmColumns& at,
                                          const float* x, int head) {
  const float forget = soft_cap_of(x[at.forget_gate + head], mlstm.gate_soft_cap);
  const float input = soft_cap_of(x[at.input_gate + head], mlstm.gate_soft_cap);
  return {input != input ? input : log_sigmoid_of(forget), input};
}

/// The larger of both, NaN if either is. A sum, a comparison, a choice: as little as can be, since
/// tokens wait here for each other.
GRIDMILL_DEVICE float next_m(const GateInputs& in, float m) {
  const float a = in.log_forget + m;
  return in.input > a ? in.input : a;
}

/// @param m  before the token.
GRIDMILL_DEVICE MlstmGates gates_of(const GateInputs& in, float m) {
  const float next = next_m(in, m);
  return {exp_of((in.log_forget + m) - next), exp_of(in.input - next), next, 0.0F};
}

/// Takes m through `count` tokens, and leaves in `before` what it was before each of them.
GRIDMILL_DEVICE float walk(const float* log_forget, const float* input, float* before, int count,
                           float m) {
  int t = 0;
  for (; t + kAhead <= count; t += kAhead) {
    GateInputs in[kAhead];
#pragma unroll
    for (int i = 0; i < kAhead; ++i) in[i] = {log_forget[t + i], input[t + i]};
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      before[t + i] = m;
      m = next_m(in[i], m);
    }
  }
  for (; t < count; ++t) {
    before[t] = m;
    m = next_m({log_forget[t], input[t]}, m);
  }
  return m;
}

/// The gates of every token of a span, for one head, and m.
GRIDMILL_KERNEL void gates_kernel(MlstmArgs args) {
  GRIDMILL_SHARED float log_forget[kGateTokens];
  GRIDMILL_SHARED float input[kGateTokens];
  GRIDMILL_SHARED float before[kGateTokens];
  const Mlstm& mlstm = args.mlstm;
  const MlstmColumns at = columns_of(mlstm);
  const int part_room = mlstm_part_room(mlstm.qk_dim);
  const TokenSpan span = args.spans[block_x()];
  const int head = block_y();
  float* state = args.state.m + state_head(args.state, span.slot, head);
  float m = *state;  // carried on by thread 0
  for (int first = 0; first < span.tokens; first += kGateTokens) {
    const int left = span.tokens - first;
    const int count = left < kGateTokens ? left : kGateTokens;
    const std::int64_t row = span.row + first;
    for (int t = thread_index(); t < count; t += thread_count()) {
      const GateInputs in =
          gate_inputs_of(mlstm, at, args.inputs.data + (row + t) * args.inputs.stride, head);
      log_forget[t] = in.log_forget;
      input[t] = in.input;
    }
    barrier();
    if (thread_index() == 0) m = walk(log_forget, input, before, count, m);
    barrier();
    for (int t = thread_index(); t < count; t += thread_count()) {
      *factors_of(args, row + t, head, part_room).gates =
          gates_of({log_forget[t], input[t]}, before[t]);
    }
  }
  if (thread_index() == 0) *state = m;
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

/// Queries and keys of one row and head a warp; also its gates and m where a span is one row.
GRIDMILL_KERNEL void factors_kernel(MlstmArgs args) {
  const Mlstm& mlstm = args.mlstm;
  const bool single = args.longest <= 1;
  const std::int64_t item =
      static_cast<std::int64_t>(block_x()) * kFactorWarps + thread_index() / kWarp;
  const auto head = static_cast<int>(item % mlstm.heads);
  const int lane = thread_index() % kWarp;
  const int qk_dim = mlstm.qk_dim;
  std::int64_t row = item / mlstm.heads;
  if (row >= (single ? args.span_count : args.inputs.rows)) return;
  float* state = nullptr;
  if (single) {
    const TokenSpan span = args.spans[row];
    if (span.tokens == 0) return;
    row = span.row;
    state = args.state.m + state_head(args.state, span.slot, head);
  }
  const MlstmColumns at = columns_of(mlstm);
  const MlstmParts parts = parts_of(qk_dim);
  const MlstmFactors factors = factors_of(args, row, head, parts.room);
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
  const MlstmGates gates =
      single ? gates_of(gate_inputs_of(mlstm, at, x, head), *state) : *factors.gates;
  warp_normalize(q, qk_dim, mlstm.qk_norm_kind, mlstm.qk_norm_eps, mlstm.q_norm);
  warp_normalize(k, qk_dim, mlstm.qk_norm_kind, mlstm.qk_norm_eps, mlstm.k_norm);
  const float scale = 1.0F / sqrtf(static_cast<float>(qk_dim));
#pragma unroll
  for (int i = 0; i < kLaneQk; ++i) {
    const int a = lane + kWarp * i;
    if (a < qk_dim) {
      const int place = place_of(parts, a);
      factors.q[place] = q[i] * scale;
      factors.k[place] = gates.input * k[i];
    }
  }
  warp_barrier();  // every lane has read m
  if (single && lane == 0) {
    *factors.gates = gates;
    *state = gates.m;
  }
}

}  // namespace

void launch_mlstm_factors(LaunchStream stream, const MlstmArgs& args) {
  const auto heads = static_cast<unsigned>(args.mlstm.heads);
  const auto spans = static_cast<unsigned>(args.span_count);
  const bool single = args.longest <= 1;
  if (!single) {
    const int threads = args.longest < kGateTokens ? args.longest : kGateTokens;
    launch(stream, gates_kernel, {spans, heads, 1}, (threads + kWarp - 1) / kWarp * kWarp, 0, args);
  }
  const unsigned items = (single ? spans : static_cast<unsigned>(args.inputs.rows)) * heads;
  launch(stream, factors_kernel, {(items + kFactorWarps - 1) / kFactorWarps, 1, 1},
         kFactorWarps * kWarp, 0, args);
}

}  // namespace gridmill::cuda
