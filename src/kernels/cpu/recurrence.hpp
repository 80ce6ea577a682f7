// Recurrent layers: linear_recurrence, the short convolution, the sLSTM cell, and the row
// operations between them. Contract: docs/numerics.md, section 6b.
//
// A head's S lies row by row, [dk][dv]. Prefill prepares k and q of 16 tokens, then takes strips of
// columns through them: add: four tokens a pass, as mLSTM does; delta: the correction of a token
// needs S^T k of all of dk first, so a pass over a strip writes what the token before adds, and
// reads it out, while it forms the correction of the next.
#pragma once

#include "kernels/cpu/rows.hpp"

namespace gridmill::cpu::GRIDMILL_CPU_TARGET {

// --- linear_recurrence

/// Projections of up to kRecurrenceTokens tokens of one head.
struct RecurrenceChunk {
  std::int64_t tokens;
  std::int64_t key_padded;  ///< dk rounded up to 16
  float* k;                 ///< [tokens][key_padded]; add: times strength
  float* q;                 ///< [tokens][key_padded], scaled
  const float* decay;       ///< of the first token
  std::int64_t decay_stride;
  std::int64_t decay_step;  ///< from key component to key component: 0 or 1
  const float* v;
  std::int64_t v_stride;
  float* out;
  std::int64_t out_stride;
  float strength[kRecurrenceTokens];
};

inline void prepare_keys(const LinearRecurrence& options, const RecurrenceInputs& inputs, int head,
                         std::int64_t row, RecurrenceChunk& chunk) {
  const std::int64_t dk = options.key_width;
  const std::int64_t first = head / (options.heads / options.key_heads) * dk;
  const bool add = options.update == RecurrenceUpdate::add;
  for (std::int64_t t = 0; t < chunk.tokens; ++t) {
    const float* k = inputs.k.data + (row + t) * inputs.k.stride + first;
    const float* q = inputs.q.data + (row + t) * inputs.q.stride + first;
    const float strength = inputs.strength.data[(row + t) * inputs.strength.stride + head];
    chunk.strength[t] = strength;
    for (std::int64_t a = 0; a < dk; a += 16) {
      const int left = lanes_left(dk, a);
      F32x16 keys = load_first(k + a, left);
      if (add) keys = splat(strength) * keys;
      store(chunk.k + t * chunk.key_padded + a, keys);
      store(chunk.q + t * chunk.key_padded + a,
            splat(options.query_scale) * load_first(q + a, left));
    }
  }
}

/// V vectors of columns of which `columns` exist.
template <int V>
struct Columns {
  int left[V];
  explicit Columns(std::int64_t columns) {
    for (int c = 0; c < V; ++c) {
      left[c] = static_cast<int>(
          larger<std::int64_t>(0, smaller<std::int64_t>(16, columns - std::int64_t{16} * c)));
    }
  }
};
/// Whole: every column exists, so that no lane needs a mask.
template <bool kWhole>
GRIDMILL_SIMD F32x16 load_columns(const float* p, int left) {
  return kWhole ? load(p) : load_first(p, left);
}
template <bool kWhole>
GRIDMILL_SIMD void store_columns(float* p, F32x16 x, int left) {
  if (kWhole) {
    store(p, x);
  } else {
    store_first(p, x, left);
  }
}

/// T tokens from `first` through V vectors of columns of S, update add.
template <int T, int V, bool kWhole>
void add_strip(const LinearRecurrence& options, const RecurrenceChunk& chunk, std::int64_t first,
               std::int64_t column, const Columns<V>& columns, float* state, const float* skip) {
  F32x16 v[T][V];
  F32x16 acc[T][V];
  GRIDMILL_UNROLL
  for (int t = 0; t < T; ++t) {
    const float* values = chunk.v + (first + t) * chunk.v_stride + column;
    GRIDMILL_UNROLL
    for (int c = 0; c < V; ++c) {
      acc[t][c] = zero();
      v[t][c] = load_columns<kWhole>(values + 16 * c, columns.left[c]);
    }
  }
  const float* k = chunk.k + first * chunk.key_padded;
  const float* q = chunk.q + first * chunk.key_padded;
  const float* decay = chunk.decay + first * chunk.decay_stride;
  for (std::int64_t a = 0; a < options.key_width; ++a) {
    float* row = state + a * options.value_width + column;
    F32x16 s[V];
    GRIDMILL_UNROLL
    for (int c = 0; c < V; ++c) s[c] = load_columns<kWhole>(row + 16 * c, columns.left[c]);
    GRIDMILL_UNROLL
    for (int t = 0; t < T; ++t) {
      const F32x16 factor = splat(decay[t * chunk.decay_stride + a * chunk.decay_step]);
      const F32x16 key = splat(k[t * chunk.key_padded + a]);
      const F32x16 query = splat(q[t * chunk.key_padded + a]);
      GRIDMILL_UNROLL
      for (int c = 0; c < V; ++c) {
        s[c] = fma(factor, s[c], key * v[t][c]);
        acc[t][c] = fma(query, s[c], acc[t][c]);
      }
    }
    GRIDMILL_UNROLL
    for (int c = 0; c < V; ++c) store_columns<kWhole>(row + 16 * c, s[c], columns.left[c]);
  }
  GRIDMILL_UNROLL
  for (int t = 0; t < T; ++t) {
    float* out = chunk.out + (first + t) * chunk.out_stride + column;
    GRIDMILL_UNROLL
    for (int c = 0; c < V; ++c) {
      const F32x16 h = skip == nullptr ? acc[t][c] : fma(splat(*skip), v[t][c], acc[t][c]);
      store_columns<kWhole>(out + 16 * c, h, columns.left[c]);
    }
  }
}

/// Update of S and output of a token of update delta, over V vectors of columns.
template <int V>
struct Correction {
  F32x16 d[V];
  F32x16 h[V];
};

/// Finishes token `t - 1` (kFinish) and begins token `t` (kBegin): S = fma(k, d, decay S) of the
/// one, read out; S^T k of the other.
template <int V, bool kWhole, bool kFinish, bool kBegin>
void delta_pass(const LinearRecurrence& options, const RecurrenceChunk& chunk, std::int64_t t,
                std::int64_t column, const Columns<V>& columns, float* state,
                Correction<V>& correction) {
  F32x16 sum[V];
  F32x16 h[V];
  GRIDMILL_UNROLL
  for (int c = 0; c < V; ++c) {
    sum[c] = zero();
    h[c] = zero();
  }
  const std::int64_t before = kFinish ? t - 1 : t;
  const std::int64_t now = kBegin ? t : before;
  const float* k_before = chunk.k + before * chunk.key_padded;
  const float* q_before = chunk.q + before * chunk.key_padded;
  const float* decay_before = chunk.decay + before * chunk.decay_stride;
  const float* k_now = chunk.k + now * chunk.key_padded;
  const float* decay_now = chunk.decay + now * chunk.decay_stride;
  for (std::int64_t a = 0; a < options.key_width; ++a) {
    float* row = state + a * options.value_width + column;
    F32x16 s[V];
    GRIDMILL_UNROLL
    for (int c = 0; c < V; ++c) s[c] = load_columns<kWhole>(row + 16 * c, columns.left[c]);
    if constexpr (kFinish) {
      const F32x16 factor = splat(decay_before[a * chunk.decay_step]);
      const F32x16 key = splat(k_before[a]);
      const F32x16 query = splat(q_before[a]);
      GRIDMILL_UNROLL
      for (int c = 0; c < V; ++c) {
        s[c] = fma(key, correction.d[c], factor * s[c]);
        h[c] = fma(query, s[c], h[c]);
        store_columns<kWhole>(row + 16 * c, s[c], columns.left[c]);
      }
    }
    if constexpr (kBegin) {
      const F32x16 factor = splat(decay_now[a * chunk.decay_step]);
      const F32x16 key = splat(k_now[a]);
      GRIDMILL_UNROLL
      for (int c = 0; c < V; ++c) sum[c] = fma(key, factor * s[c], sum[c]);
    }
  }
  GRIDMILL_UNROLL
  for (int c = 0; c < V; ++c) {
    if constexpr (kFinish) correction.h[c] = h[c];
    if constexpr (kBegin) {
      const F32x16 v =
          load_columns<kWhole>(chunk.v + t * chunk.v_stride + column + 16 * c, columns.left[c]);
      correction.d[c] = splat(chunk.strength[t]) * (v - sum[c]);
    }
  }
}

template <int V, bool kWhole>
void delta_strip(const LinearRecurrence& options, const RecurrenceChunk& chunk, std::int64_t column,
                 const Columns<V>& columns, float* state, const float* skip) {
  Correction<V> correction{};
  delta_pass<V, kWhole, false, true>(options, chunk, 0, column, columns, state, correction);
  for (std::int64_t t = 1; t <= chunk.tokens; ++t) {
    if (t < chunk.tokens) {
      delta_pass<V, kWhole, true, true>(options, chunk, t, column, columns, state, correction);
    } else {
      delta_pass<V, kWhole, true, false>(options, chunk, t, column, columns, state, correction);
    }
    const float* v = chunk.v + (t - 1) * chunk.v_stride + column;
    float* out = chunk.out + (t - 1) * chunk.out_stride + column;
    GRIDMILL_UNROLL
    for (int c = 0; c < V; ++c) {
      F32x16 h = correction.h[c];
      if (skip != nullptr) {
        h = fma(splat(*skip), load_columns<kWhole>(v + 16 * c, columns.left[c]), h);
      }
      store_columns<kWhole>(out + 16 * c, h, columns.left[c]);
    }
  }
}

template <int T, int V, bool kWhole>
void add_tokens(const LinearRecurrence& options, const RecurrenceChunk& chunk, std::int64_t column,
                const Columns<V>& columns, float* state, const float* skip) {
  std::int64_t t = 0;
  for (; t + T <= chunk.tokens; t += T) {
    add_strip<T, V, kWhole>(options, chunk, t, column, columns, state, skip);
  }
  for (; t < chunk.tokens; ++t) {
    add_strip<1, V, kWhole>(options, chunk, t, column, columns, state, skip);
  }
}

template <int V, bool kWhole>
void recurrence_strip(const LinearRecurrence& options, const RecurrenceChunk& chunk,
                      std::int64_t column, float* state, const float* skip) {
  const Columns<V> columns(options.value_width - column);
  if (options.update == RecurrenceUpdate::delta) {
    delta_strip<V, kWhole>(options, chunk, column, columns, state, skip);
  } else {
    constexpr int kTokens = kWide ? 4 : 1;
    add_tokens<kTokens, V, kWhole>(options, chunk, column, columns, state, skip);
  }
}

inline void linear_recurrence(const RecurrenceArgs& args, const Worker& worker) {
  constexpr int kStripWidth = 2;
  const LinearRecurrence& options = args.recurrence;
  RecurrenceChunk chunk{};
  chunk.key_padded = (options.key_width + 15) / 16 * 16;
  chunk.k = reinterpret_cast<float*>(worker.scratch);
  chunk.q = chunk.k + kRecurrenceTokens * chunk.key_padded;
  const bool of_keys = options.decay == DecayScope::key;
  chunk.decay_stride = args.inputs.decay.stride;
  chunk.decay_step = of_keys ? 1 : 0;
  chunk.v_stride = args.inputs.v.stride;
  chunk.out_stride = args.out.stride;
  const std::int64_t size = std::int64_t{options.key_width} * options.value_width;
  const Share mine = share_of(args.span_count * options.heads, worker);
  for (std::int64_t unit = mine.first; unit < mine.end; ++unit) {
    const TokenSpan& span = args.spans[unit / options.heads];
    const int head = static_cast<int>(unit % options.heads);
    float* state = args.state + static_cast<std::size_t>(span.slot) * args.slot_stride +
                   static_cast<std::size_t>(head * size);
    const float* skip = options.skip.size == 0 ? nullptr : options.skip.data + head;
    for (std::int64_t first = 0; first < span.tokens; first += kRecurrenceTokens) {
      const std::int64_t row = span.row + first;
      chunk.tokens = smaller<std::int64_t>(kRecurrenceTokens, span.tokens - first);
      chunk.decay = args.inputs.decay.data + row * chunk.decay_stride +
                    static_cast<std::int64_t>(head) * (of_keys ? options.key_width : 1);
      chunk.v = args.inputs.v.data + row * chunk.v_stride +
                static_cast<std::int64_t>(head) * options.value_width;
      chunk.out = args.out.data + row * chunk.out_stride +
                  static_cast<std::int64_t>(head) * options.value_width;
      prepare_keys(options, args.inputs, head, row, chunk);
      std::int64_t column = 0;
      for (; column + 16 * kStripWidth <= options.value_width; column += 16 * kStripWidth) {
        recurrence_strip<kStripWidth, true>(options, chunk, column, state, skip);
      }
      for (; column < options.value_width; column += 16) {
        recurrence_strip<1, false>(options, chunk, column, state, skip);
      }
    }
  }
}

// --- short convolution

/// Channels that a unit of work takes: a cache line of every token and tap at least.
constexpr std::int64_t kConvolutionChannels = 256;

inline void convolve(const ConvolutionArgs& args, const TokenSpan& span, std::int64_t channel,
                     int left) {
  const ShortConvolution& options = args.convolution;
  const std::int64_t channels = args.x.columns;
  const int kept = options.taps - 1;
  F32x16 weights[kMostConvolutionTaps];
  F32x16 values[kMostConvolutionTaps];
  float* tail = args.state + static_cast<std::size_t>(span.slot) * args.slot_stride + channel;
  for (int tap = 0; tap < options.taps; ++tap) {
    weights[tap] = load_first(options.weights.data + tap * channels + channel, left);
  }
  for (int tap = 0; tap < kept; ++tap) values[tap] = load_first(tail + tap * channels, left);
  const bool bias = options.bias.size != 0;
  const F32x16 offset = bias ? load_first(options.bias.data + channel, left) : zero();
  for (std::int64_t row = span.row; row < span.row + span.tokens; ++row) {
    values[kept] = load_first(args.x.data + row * args.x.stride + channel, left);
    F32x16 sum = zero();
    for (int tap = 0; tap < options.taps; ++tap) sum = fma(values[tap], weights[tap], sum);
    if (bias) sum = sum + offset;
    store_first(args.out.data + row * args.out.stride + channel, activate(options.activation, sum),
                left);
    for (int tap = 0; tap < kept; ++tap) values[tap] = values[tap + 1];
  }
  for (int tap = 0; tap < kept; ++tap) store_first(tail + tap * channels, values[tap], left);
}

inline void short_convolution(const ConvolutionArgs& args, const Worker& worker) {
  const std::int64_t channels = args.x.columns;
  const std::int64_t pieces = (channels + kConvolutionChannels - 1) / kConvolutionChannels;
  const Share mine = share_of(args.span_count * pieces, worker);
  for (std::int64_t unit = mine.first; unit < mine.end; ++unit) {
    const TokenSpan& span = args.spans[unit / pieces];
    const std::int64_t first = unit % pieces * kConvolutionChannels;
    const std::int64_t end = smaller<std::int64_t>(channels, first + kConvolutionChannels);
    for (std::int64_t c = first; c < end; c += 16) convolve(args, span, c, lanes_left(end, c));
  }
}

// --- row operations

inline void decay_gates(const DecayGatesArgs& args, const Worker& worker) {
  const Share mine = share_of(args.x.rows, worker);
  const std::int64_t heads = args.x.columns;
  for (std::int64_t row = mine.first; row < mine.end; ++row) {
    const float* x = args.x.data + row * args.x.stride;
    float* out = args.out.data + row * args.out.stride;
    for (std::int64_t h = 0; h < heads; h += 16) {
      const int left = lanes_left(heads, h);
      const F32x16 shifted = load_first(x + h, left) + load_first(args.gates.bias.data + h, left);
      const F32x16 t = negate(log_sigmoid(negate(shifted)));
      const F32x16 rate = negate(exp(load_first(args.gates.a_log.data + h, left)));
      store_first(out + h, exp(rate * t), left);
      const F32x16 strength =
          args.strength.data == nullptr
              ? t
              : sigmoid(load_first(args.strength.data + row * args.strength.stride + h, left));
      store_first(out + heads + h, strength, left);
    }
  }
}

/// y = norm of each of `groups` parts of x; `y` may be x.
inline void norm_group_row(const Norm& norm, int groups, const float* x, std::int64_t columns,
                           float* y) {
  const std::int64_t width = columns / groups;
  const bool shared = norm.weight.size == width;
  for (int group = 0; group < groups; ++group) {
    const std::int64_t first = group * width;
    norm_row(norm.kind, norm.eps,
             norm.weight.size == 0 ? nullptr : norm.weight.data + (shared ? 0 : first), nullptr,
             x + first, width, y + first, norm.scale);
  }
}

inline void norm_groups(const NormGroupsArgs& args, const Worker& worker) {
  const Share mine = share_of(args.x.rows, worker);
  for (std::int64_t row = mine.first; row < mine.end; ++row) {
    norm_group_row(args.norm, args.groups, args.x.data + row * args.x.stride, args.x.columns,
                   args.out.data + row * args.out.stride);
  }
}

template <class Steps>
void gated_norm_pack(const GatedNormArgs& args, const Worker& worker) {
  const Share mine = share_of(args.out.rows, worker);
  auto* values = reinterpret_cast<float*>(worker.scratch);
  const std::int64_t n = args.out.inputs;
  const GatedNorm& gated = args.gated;
  for (std::int64_t row = mine.first; row < mine.end; ++row) {
    const float* y = args.y.data + row * args.y.stride;
    const bool norm = gated.groups > 0;
    const bool gate_first = gated.gate_first || !norm;
    const float* from = y;
    for (int step = 0; step < 2; ++step) {
      if ((step == 0) == gate_first) {
        if (args.z.data == nullptr) continue;
        const float* z = args.z.data + row * args.z.stride;
        for (std::int64_t i = 0; i < n; i += 16) {
          const int left = lanes_left(n, i);
          store_first(
              values + i,
              load_first(from + i, left) * activate(gated.activation, load_first(z + i, left)),
              left);
        }
        from = values;
      } else if (norm) {
        norm_group_row(gated.norm, gated.groups, from, n, values);
        from = values;
      }
    }
    write_row(packed_row<Steps>(args.out, row), 0, from, n);
  }
}

// --- sLSTM

/// raw[r][j] = chain over i of y[r][i] R[i][j], for R rows of the batch and 4 hd outputs.
template <int R>
void recurrent_product(const float* const* y, const float* weights, std::int64_t hd, float* raw) {
  const std::int64_t outputs = 4 * hd;
  for (std::int64_t j = 0; j < outputs; j += 16) {
    const int left = lanes_left(outputs, j);
    F32x16 acc[R];
    GRIDMILL_UNROLL
    for (int r = 0; r < R; ++r) acc[r] = zero();
    for (std::int64_t i = 0; i < hd; ++i) {
      const F32x16 w = load_first(weights + i * outputs + j, left);
      GRIDMILL_UNROLL
      for (int r = 0; r < R; ++r) acc[r] = fma(splat(y[r][i]), w, acc[r]);
    }
    GRIDMILL_UNROLL
    for (int r = 0; r < R; ++r) store_first(raw + r * outputs + j, acc[r], left);
  }
}

/// Gates and cells of one row and head; y, c, n and m of the head are `width` apart.
inline void advance_cell(const SlstmArgs& args, const float* inputs, int head, const float* raw,
                         float* y, float* out) {
  const std::int64_t hd = args.cell.head_width;
  const std::int64_t width = args.cell.heads * hd;
  float* c = y + width;
  float* n = c + width;
  float* m = n + width;
  for (std::int64_t o = 0; o < hd; o += 16) {
    const int left = lanes_left(hd, o);
    F32x16 gates[4];
    for (std::int64_t gate = 0; gate < 4; ++gate) {
      const std::int64_t column = gate * width + head * hd + o;
      gates[gate] = load_first(inputs + column, left) + load_first(raw + gate * hd + o, left) +
                    load_first(args.cell.bias.data + column, left);
    }
    const F32x16 old_n = load_first(n + o, left);
    const Mask16 first = equal(old_n, zero());
    const F32x16 a = load_first(m + o, left) + log_sigmoid(gates[1]);
    const F32x16 peak = select(first, gates[0], larger_or_nan(a, gates[0]));
    const F32x16 input = exp(gates[0] - peak);
    const F32x16 forget = select(first, zero(), exp(a - peak));
    const F32x16 new_c = fma(forget, load_first(c + o, left), input * tanh(gates[2]));
    const F32x16 new_n = fma(forget, old_n, input);
    const F32x16 new_y = sigmoid(gates[3]) * new_c / new_n;
    store_first(c + o, new_c, left);
    store_first(n + o, new_n, left);
    store_first(m + o, peak, left);
    store_first(y + o, new_y, left);
    store_first(out + o, new_y, left);
  }
}

/// Rows of the batch that share one reading of a head's weights.
constexpr int kSlstmRows = 4;

inline void slstm(const SlstmArgs& args, const Worker& worker) {
  const std::int64_t hd = args.cell.head_width;
  const std::int64_t tiles = (args.span_count + kSlstmRows - 1) / kSlstmRows;
  auto* raw = reinterpret_cast<float*>(worker.scratch);
  const Share mine = share_of(tiles * args.cell.heads, worker);
  for (std::int64_t unit = mine.first; unit < mine.end; ++unit) {
    const TokenSpan* spans = args.spans + unit / args.cell.heads * kSlstmRows;
    const std::int64_t count =
        smaller<std::int64_t>(kSlstmRows, args.span_count - unit / args.cell.heads * kSlstmRows);
    const int head = static_cast<int>(unit % args.cell.heads);
    const float* weights = args.cell.recurrent.data + head * hd * 4 * hd;
    std::int64_t longest = 0;
    for (std::int64_t s = 0; s < count; ++s) {
      longest = larger<std::int64_t>(longest, spans[s].tokens);
    }
    for (std::int64_t t = 0; t < longest; ++t) {
      const float* y[kSlstmRows] = {};
      std::int64_t of[kSlstmRows] = {};
      int rows = 0;
      for (std::int64_t s = 0; s < count; ++s) {
        if (t >= spans[s].tokens) continue;
        y[rows] = args.state + static_cast<std::size_t>(spans[s].slot) * args.slot_stride +
                  static_cast<std::size_t>(head * hd);
        of[rows++] = s;
      }
      switch (rows) {
        case 4:
          recurrent_product<4>(y, weights, hd, raw);
          break;
        case 3:
          recurrent_product<3>(y, weights, hd, raw);
          break;
        case 2:
          recurrent_product<2>(y, weights, hd, raw);
          break;
        default:
          recurrent_product<1>(y, weights, hd, raw);
      }
      for (int r = 0; r < rows; ++r) {
        const std::int64_t row = spans[of[r]].row + t;
        advance_cell(args, args.inputs.data + row * args.inputs.stride, head, raw + r * 4 * hd,
                     args.state + static_cast<std::size_t>(spans[of[r]].slot) * args.slot_stride +
                         static_cast<std::size_t>(head * hd),
                     args.out.data + row * args.out.stride + head * hd);
      }
    }
  }
}

}  // namespace gridmill::cpu::GRIDMILL_CPU_TARGET
