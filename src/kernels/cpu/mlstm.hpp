// mLSTM: the recurrence of docs/numerics.md, section 6, for one token a slot or many.
//
// Contract: every element of C sees the same operations in the same order whether its token comes
// alone (decode) or among many (prefill); h is a chain over ascending a.
//
// State of a head: strips of 32 columns of C, each [dqk][32], one after the other; then n, padded
// to 16; then 16 floats whose first is m. A strip is one linear stream, and so is the head.
//
// Blocking: prefill prepares gates, I k and scaled q of 16 tokens, then takes each strip through
// them four tokens at a time: an element of C is loaded and stored once for 4 x (mul, fma, fma),
// and 4 tokens x 2 vectors of h (8 chains), as many of v, 4 forget gates and C fill 22 of 32
// registers. A strip of 192 x 32 floats is 24 KiB: it stays in L1 (32 KiB) while the tokens pass.
// Decode is bound by reading and writing C once.
//
// Figures wanted (one thread): 90 % of update bandwidth in decode; at most 8 % of the products'
// time in prefill from 64 tokens on. Measured (Zen 4, docs/performance/cpu.md): 88 to 91 %, 6 %.
#pragma once

#include "kernels/cpu/rows.hpp"

namespace gridmill::cpu::GRIDMILL_CPU_TARGET {

constexpr int kStripVectors = kStripColumns / 16;
/// Tokens that share one pass over a strip.
constexpr int kTokenTile = kWide ? 4 : 1;

/// Gates and projections of up to 16 tokens of one head.
struct MlstmChunk {
  std::int64_t tokens;
  std::int64_t qk_padded;  ///< dqk rounded up to 16
  std::int64_t v_padded;   ///< dv rounded up to a strip
  float* scaled_q;         ///< [tokens][qk_padded]
  float* gated_k;          ///< [tokens][qk_padded]
  float* h;                ///< [tokens][v_padded]
  float* row;              ///< one head's values
  float forget[kMlstmTokens];
  float input[kMlstmTokens];
  float floor[kMlstmTokens];  ///< exp(-m')
  float denominator[kMlstmTokens];
};

struct HeadColumns {
  std::int64_t q, k, v, o, input_gate, forget_gate;
};
GRIDMILL_SIMD HeadColumns columns_of(const Mlstm& m, int head) {
  const std::int64_t qk = static_cast<std::int64_t>(m.heads) * m.qk_dim;
  const std::int64_t v = static_cast<std::int64_t>(m.heads) * m.v_dim;
  const std::int64_t gates = 2 * qk + (m.output_gate ? 2 : 1) * v;
  return {static_cast<std::int64_t>(head) * m.qk_dim,
          qk + static_cast<std::int64_t>(head) * m.qk_dim,
          2 * qk + static_cast<std::int64_t>(head) * m.v_dim,
          2 * qk + v + static_cast<std::int64_t>(head) * m.v_dim,
          gates + head,
          gates + m.heads + head};
}

/// Forget and input factors of every token of the chunk; advances m.
inline void advance_gates(const Mlstm& mlstm, const HeadColumns& columns, const float* rows,
                          std::int64_t stride, float& m, MlstmChunk& chunk) {
  alignas(64) float input[kMlstmTokens] = {};
  alignas(64) float forget[kMlstmTokens] = {};
  alignas(64) float maxima[kMlstmTokens] = {};
  for (std::int64_t t = 0; t < chunk.tokens; ++t) {
    input[t] = rows[t * stride + columns.input_gate];
    forget[t] = rows[t * stride + columns.forget_gate];
  }
  store(input, soft_cap(load(input), mlstm.gate_soft_cap));
  store(forget, log_sigmoid(soft_cap(load(forget), mlstm.gate_soft_cap)));
  for (std::int64_t t = 0; t < chunk.tokens; ++t) {
    const float a = forget[t] + m;
    m = larger_or_nan(a, input[t]);
    forget[t] = a - m;
    input[t] = input[t] - m;
    maxima[t] = m;
  }
  store(chunk.forget, exp(load(forget)));
  store(chunk.input, exp(load(input)));
  store(chunk.floor, exp(negate(load(maxima))));
}

/// Keys, queries, n and the denominators of every token of the chunk.
inline void advance_normalizer(const Mlstm& mlstm, const HeadColumns& columns, const float* rows,
                               std::int64_t stride, float* n, MlstmChunk& chunk) {
  const float scale = 1.0F / square_root(static_cast<float>(mlstm.qk_dim));
  for (std::int64_t t = 0; t < chunk.tokens; ++t) {
    const float* q = rows + t * stride + columns.q;
    const float* k = rows + t * stride + columns.k;
    float* scaled_q = chunk.scaled_q + t * chunk.qk_padded;
    float* gated_k = chunk.gated_k + t * chunk.qk_padded;
    if (mlstm.q_norm.size != 0) {
      norm_row(mlstm.qk_norm_kind, mlstm.qk_norm_eps, mlstm.q_norm.data, nullptr, q, mlstm.qk_dim,
               scaled_q);
      q = scaled_q;
    }
    if (mlstm.k_norm.size != 0) {
      norm_row(mlstm.qk_norm_kind, mlstm.qk_norm_eps, mlstm.k_norm.data, nullptr, k, mlstm.qk_dim,
               gated_k);
      k = gated_k;
    }
    F32x16 product = zero();
    for (std::int64_t a = 0; a < mlstm.qk_dim; a += 16) {
      const int left = lanes_left(mlstm.qk_dim, a);
      const F32x16 qs = load_first(q + a, left) * splat(scale);
      const F32x16 ik = splat(chunk.input[t]) * load_first(k + a, left);
      const F32x16 advanced = fma(splat(chunk.forget[t]), load(n + a), ik);
      store(scaled_q + a, qs);
      store(gated_k + a, ik);
      store(n + a, advanced);
      product = fma(qs, advanced, product);
    }
    const float qn = __builtin_fabsf(tree_sum(product));
    chunk.denominator[t] = larger_or_nan(qn, chunk.floor[t]) + mlstm.denominator_eps;
  }
}

/// T tokens from `first` through one strip.
template <int T>
void advance_strip(const MlstmChunk& chunk, std::int64_t first, const float* values,
                   std::int64_t stride, int columns, float* strip, std::int64_t qk_dim, float* h) {
  F32x16 v[T][kStripVectors];
  F32x16 acc[T][kStripVectors];
  F32x16 forget[T];
  GRIDMILL_UNROLL
  for (int t = 0; t < T; ++t) {
    forget[t] = splat(chunk.forget[first + t]);
    GRIDMILL_UNROLL
    for (int c = 0; c < kStripVectors; ++c) {
      acc[t][c] = zero();
      const int left = larger(0, smaller(16, columns - 16 * c));
      v[t][c] = left == 16 ? load(values + t * stride + 16 * c)
                           : load_first(values + t * stride + 16 * c, left);
    }
  }
  const float* gated_k = chunk.gated_k + first * chunk.qk_padded;
  const float* scaled_q = chunk.scaled_q + first * chunk.qk_padded;
  const std::int64_t padded = chunk.qk_padded;
  for (std::int64_t a = 0; a < qk_dim; ++a) {
    float* row = strip + a * kStripColumns;
    F32x16 state[kStripVectors];
    GRIDMILL_UNROLL
    for (int c = 0; c < kStripVectors; ++c) state[c] = load(row + 16 * c);
    GRIDMILL_UNROLL
    for (int t = 0; t < T; ++t) {
      const F32x16 ik = splat(gated_k[t * padded + a]);
      const F32x16 qs = splat(scaled_q[t * padded + a]);
      GRIDMILL_UNROLL
      for (int c = 0; c < kStripVectors; ++c) {
        state[c] = fma(forget[t], state[c], ik * v[t][c]);
        acc[t][c] = fma(qs, state[c], acc[t][c]);
      }
    }
    GRIDMILL_UNROLL
    for (int c = 0; c < kStripVectors; ++c) store(row + 16 * c, state[c]);
  }
  GRIDMILL_UNROLL
  for (int t = 0; t < T; ++t) {
    GRIDMILL_UNROLL
    for (int c = 0; c < kStripVectors; ++c) store(h + t * chunk.v_padded + 16 * c, acc[t][c]);
  }
}

/// Divides, normalises, gates and hands on one token of one head.
template <class Steps>
void finish_head(const MlstmArgs& args, const HeadColumns& columns, int head, std::int64_t row,
                 std::int64_t t, const MlstmChunk& chunk) {
  const Mlstm& mlstm = args.mlstm;
  const std::int64_t width = mlstm.v_dim;
  float* h = chunk.h + t * chunk.v_padded;
  const F32x16 denominator = splat(chunk.denominator[t]);
  for (std::int64_t i = 0; i < chunk.v_padded; i += 16) store(h + i, load(h + i) / denominator);
  const std::int64_t offset = head * width;
  const bool packed = args.packed_out.data != nullptr;
  float* out = packed ? chunk.row : args.out.data + row * args.out.stride + offset;
  const Norm& norm = mlstm.head_norm;
  norm_row(norm.kind, norm.eps, norm.weight.size == 0 ? nullptr : norm.weight.data + offset,
           norm.bias.size == 0 ? nullptr : norm.bias.data + offset, h, width, out);
  if (!packed) return;
  if (mlstm.output_gate) {
    const float* gate = args.inputs.data + row * args.inputs.stride + columns.o;
    for (std::int64_t i = 0; i < width; i += 16) {
      const int left = lanes_left(width, i);
      store_first(out + i, sigmoid(load_first(gate + i, left)) * load_first(out + i, left), left);
    }
  }
  write_row(packed_row<Steps>(args.packed_out, row), offset, out, width);
}

template <class Steps>
void mlstm_head(const MlstmArgs& args, const TokenSpan& span, int head, const Worker& worker) {
  const Mlstm& mlstm = args.mlstm;
  MlstmChunk chunk{};
  chunk.qk_padded = (mlstm.qk_dim + 15) / 16 * 16;
  chunk.v_padded = (mlstm.v_dim + kStripColumns - 1) / kStripColumns * kStripColumns;
  chunk.scaled_q = reinterpret_cast<float*>(worker.scratch);
  chunk.gated_k = chunk.scaled_q + kMlstmTokens * chunk.qk_padded;
  chunk.h = chunk.gated_k + kMlstmTokens * chunk.qk_padded;
  chunk.row = chunk.h + kMlstmTokens * chunk.v_padded;
  const HeadColumns columns = columns_of(mlstm, head);
  float* state = args.state + static_cast<std::size_t>(span.slot) * args.slot_stride +
                 static_cast<std::size_t>(head) * args.head_stride;
  float* n = state + chunk.v_padded * mlstm.qk_dim;
  float* m = n + chunk.qk_padded;

  for (std::int64_t first = 0; first < span.tokens; first += kMlstmTokens) {
    chunk.tokens = smaller<std::int64_t>(kMlstmTokens, span.tokens - first);
    const std::int64_t row = span.row + first;
    const float* rows = args.inputs.data + row * args.inputs.stride;
    advance_gates(mlstm, columns, rows, args.inputs.stride, *m, chunk);
    advance_normalizer(mlstm, columns, rows, args.inputs.stride, n, chunk);
    for (std::int64_t column = 0; column < mlstm.v_dim; column += kStripColumns) {
      const int width =
          static_cast<int>(smaller<std::int64_t>(kStripColumns, mlstm.v_dim - column));
      float* strip = state + column * mlstm.qk_dim;
      std::int64_t t = 0;
      for (; t + kTokenTile <= chunk.tokens; t += kTokenTile) {
        advance_strip<kTokenTile>(chunk, t, rows + t * args.inputs.stride + columns.v + column,
                                  args.inputs.stride, width, strip, mlstm.qk_dim,
                                  chunk.h + t * chunk.v_padded + column);
      }
      for (; t < chunk.tokens; ++t) {
        advance_strip<1>(chunk, t, rows + t * args.inputs.stride + columns.v + column,
                         args.inputs.stride, width, strip, mlstm.qk_dim,
                         chunk.h + t * chunk.v_padded + column);
      }
    }
    for (std::int64_t t = 0; t < chunk.tokens; ++t) {
      finish_head<Steps>(args, columns, head, row + t, t, chunk);
    }
  }
}

template <class Steps>
void mlstm(const MlstmArgs& args, const Worker& worker) {
  const int heads = args.mlstm.heads;
  const Share mine = share_of(args.span_count * heads, worker);
  for (std::int64_t unit = mine.first; unit < mine.end; ++unit) {
    mlstm_head<Steps>(args, args.spans[unit / heads], static_cast<int>(unit % heads), worker);
  }
}

}  // namespace gridmill::cpu::GRIDMILL_CPU_TARGET
