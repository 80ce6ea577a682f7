// n of the mLSTM: every element on its own, from token to token.
#pragma once

#include <cuda_platform.hpp>

#include "kernels/cuda/mlstm.cuh"

namespace gridmill::cuda {

/// Takes n of one span and head through its tokens, and leaves what it was after each of them among
/// the factors. For a thread block of `Threads`; parts have room for `Rows` elements.
template <int Rows, int Threads>
GRIDMILL_DEVICE void advance_n(const MlstmArgs& args, const TokenSpan& span, int head) {
  constexpr int kPlaces = kMlstmParts * Rows;
  constexpr int kElements = (kPlaces + Threads - 1) / Threads;  // of a thread
  constexpr int kAhead = 8;  // tokens that are loaded before n goes through them
  const MlstmParts parts = parts_of(args.mlstm.qk_dim);
  const MlstmFactors factors = factors_of(args, span.row, head, Rows);
  const int stride = args.mlstm.heads * (3 * kPlaces + 4);  // from token to token
  float* state = args.state.n + state_head(args.state, span.slot, head) * args.mlstm.qk_dim;
  int a[kElements];  // -1: not there
  float n[kElements];
#pragma unroll
  for (int i = 0; i < kElements; ++i) {
    const int place = thread_index() + i * Threads;
    const int element = place / Rows * parts.rows + place % Rows;
    const bool inside = place < kPlaces && place % Rows < parts.rows && element < args.mlstm.qk_dim;
    a[i] = inside ? element : -1;
    n[i] = inside ? state[element] : 0.0F;
  }
  const float* k = factors.k + thread_index();
  float* out = factors.n + thread_index();
  const float* forget = &factors.gates->forget;
  for (int first = 0; first < span.tokens; first += kAhead) {
    float f[kAhead];
    float ik[kAhead][kElements];
#pragma unroll
    for (int t = 0; t < kAhead; ++t) {
      const bool there = first + t < span.tokens;
      f[t] = there ? forget[t * stride] : 0.0F;
#pragma unroll
      for (int i = 0; i < kElements; ++i) {
        ik[t][i] = there && a[i] >= 0 ? k[t * stride + i * Threads] : 0.0F;
      }
    }
#pragma unroll
    for (int t = 0; t < kAhead; ++t) {
      if (first + t >= span.tokens) break;
#pragma unroll
      for (int i = 0; i < kElements; ++i) {
        n[i] = fmaf(f[t], n[i], ik[t][i]);
        if (a[i] >= 0) out[t * stride + i * Threads] = n[i];
      }
    }
    forget += kAhead * stride;
    k += kAhead * stride;
    out += kAhead * stride;
  }
#pragma unroll
  for (int i = 0; i < kElements; ++i) {
    if (a[i] >= 0) state[a[i]] = n[i];
  }
}

}  // namespace gridmill::cuda
