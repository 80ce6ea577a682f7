// Causal attention over a paged cache (docs/numerics.md, sections 4 and 5).
//
// Contract: blocks of 64 keys at absolute positions, ascending; scores are chains over the head
// width with lanes across keys, values are chains over ascending keys with lanes across the head
// width, sums of p run in 16 lanes by key mod 16. One query row or many, decode or prefill: the
// same operations on each row.
//
// Pages hold 64 positions. Of one kv head in one layer:
//   keys    [units of Dh][64]           (bf16: pairs, so that q.k runs on pair products)
//   values  [64][Dh rounded up to 16]
//
// Blocking: up to 4 query rows (all heads of a kv head, then the next token) share each block: 4
// rows x 4 key vectors = 16 chains for the scores, 4 rows x 4 vectors of the head width for the
// values, which hides the 4 to 6 cycles of an fma. A thread's unit is one (sequence, kv head).
#pragma once

#include "kernels/cpu/rows.hpp"

namespace gridmill::cpu::GRIDMILL_CPU_TARGET {

constexpr int kQueryRows = 4;
constexpr int kKeyVectors = kPageKeys / 16;
/// Chains that fit the registers beside what feeds them.
constexpr int kScoreVectors = kWide ? kKeyVectors : 1;
constexpr int kValueVectors = kWide ? 4 : 1;

template <class Steps>
struct ValueElement {
  using Type = float;
};
template <>
struct ValueElement<Bf16Steps> {
  using Type = std::uint16_t;
};
GRIDMILL_SIMD F32x16 load_values(const float* p) { return load(p); }
GRIDMILL_SIMD F32x16 load_values(const std::uint16_t* p) { return load_bf16(p); }

/// One query row on its way through the key blocks.
struct QueryState {
  std::int64_t position;  ///< sees keys [first_key, position]
  std::int64_t first_key;
  float max, sum;
};

/// Scratch of a tile of query rows.
template <class Steps>
struct QueryTile {
  typename Steps::Unit* queries;  ///< [rows][units of Dh]
  float* scores;                  ///< [rows][64]; then p
  float* outputs;                 ///< [rows][Dh rounded up to 16]
  QueryState rows[kQueryRows];
};

/// a' = a cos - b sin, b' = b cos + a sin for the pairs (i, i + Dh / 2).
inline void rotate(float* x, const float* rotary, std::int64_t width) {
  const std::int64_t half = width / 2;
  for (std::int64_t i = 0; i < half; i += 16) {
    const int left = lanes_left(half, i);
    const F32x16 cosine = load_first(rotary + i, left);
    const F32x16 sine = load_first(rotary + half + i, left);
    const F32x16 a = load_first(x + i, left);
    const F32x16 b = load_first(x + half + i, left);
    store_first(x + i, fma(a, cosine, negate(b * sine)), left);
    store_first(x + half + i, fma(b, cosine, a * sine), left);
  }
}

/// Norm (if asked) and rotation, in place.
inline void prepare_head(float* x, const Attention& attention, const ConstDeviceVector& norm,
                         std::int64_t position) {
  if (norm.size != 0) {
    norm_row(NormKind::rms, attention.norm_eps, norm.data, nullptr, x, attention.head_dim, x);
  }
  if (attention.rotary.data != nullptr) {
    rotate(x, attention.rotary.data + position * attention.rotary.stride, attention.head_dim);
  }
}

/// A head's vector as the units of a chain; the missing half of an odd width is 0.
GRIDMILL_SIMD void to_units(const float* x, std::int64_t n, float* units) {
  for (std::int64_t i = 0; i < n; i += 16) {
    const int left = lanes_left(n, i);
    store_first(units + i, load_first(x + i, left), left);
  }
}
GRIDMILL_SIMD void to_units(const float* x, std::int64_t n, std::uint32_t* units) {
  alignas(64) std::uint16_t halves[16];
  for (std::int64_t i = 0; i < n; i += 16) {
    const int left = lanes_left(n, i);
    store_low_halves(halves, bf16_bits(load_first(x + i, left)));
    __builtin_memcpy(units + i / 2, halves, static_cast<std::size_t>((left + 1) / 2) * 4);
  }
}
GRIDMILL_SIMD void to_values(const float* x, std::int64_t n, float* values) {
  to_units(x, n, values);
}
GRIDMILL_SIMD void to_values(const float* x, std::int64_t n, std::uint16_t* values) {
  alignas(64) std::uint16_t halves[16];
  for (std::int64_t i = 0; i < n; i += 16) {
    const int left = lanes_left(n, i);
    store_low_halves(halves, bf16_bits(load_first(x + i, left)));
    __builtin_memcpy(values + i, halves, static_cast<std::size_t>(left) * 2);
  }
}

/// Where one kv head's keys and values of a page are.
template <class Steps>
struct PageView {
  typename Steps::Unit* keys;
  typename ValueElement<Steps>::Type* values;
};
template <class Steps>
GRIDMILL_SIMD PageView<Steps> page_of(const AttendArgs& args, const AttendSpan& span, int kv_head,
                                      std::int64_t page) {
  std::byte* base = span.pages[page] + args.layer_offset +
                    static_cast<std::size_t>(kv_head) * (args.key_bytes + args.value_bytes);
  using Value = typename ValueElement<Steps>::Type;
  return {reinterpret_cast<typename Steps::Unit*>(base),
          reinterpret_cast<Value*>(base + args.key_bytes)};
}

template <class Steps>
void append(const AttendArgs& args, const AttendSpan& span, int kv_head,
            typename Steps::Unit* units) {
  const Attention& a = args.attention;
  const std::int64_t width = a.head_dim;
  const std::int64_t padded = (width + 15) / 16 * 16;
  for (std::int64_t t = 0; t < span.span.tokens; ++t) {
    const std::int64_t position = span.span.position + t;
    float* row = args.qkv.data + (span.span.row + t) * args.qkv.stride;
    float* key = row + (a.heads + kv_head) * width;
    const float* value = row + (a.heads + a.kv_heads + kv_head) * width;
    prepare_head(key, a, a.k_norm, position);
    const PageView<Steps> page = page_of<Steps>(args, span, kv_head, position / kPageKeys);
    const std::int64_t slot = position % kPageKeys;
    to_units(key, width, units);
    for (std::int64_t u = 0; u < units_of<Steps>(width); ++u) {
      page.keys[u * kPageKeys + slot] = units[u];
    }
    to_values(value, width, page.values + slot * padded);
  }
}

/// scores[r][64] = q_r . k_j of a page.
template <class Steps, int R>
void score_page(const QueryTile<Steps>& tile, const typename Steps::Unit* keys,
                std::int64_t units) {
  for (int v0 = 0; v0 < kKeyVectors; v0 += kScoreVectors) {
    F32x16 acc[R][kScoreVectors];
    GRIDMILL_UNROLL
    for (int r = 0; r < R; ++r) {
      GRIDMILL_UNROLL
      for (int v = 0; v < kScoreVectors; ++v) acc[r][v] = zero();
    }
    const typename Steps::Unit* k = keys + 16 * v0;
    for (std::int64_t u = 0; u < units; ++u) {
      typename Steps::Vector key[kScoreVectors];
      GRIDMILL_UNROLL
      for (int v = 0; v < kScoreVectors; ++v) key[v] = Steps::load(k + 16 * v);
      GRIDMILL_UNROLL
      for (int r = 0; r < R; ++r) {
        const typename Steps::Vector query = Steps::splat(tile.queries + r * units + u);
        GRIDMILL_UNROLL
        for (int v = 0; v < kScoreVectors; ++v) acc[r][v] = Steps::step(query, key[v], acc[r][v]);
      }
      k += kPageKeys;
    }
    GRIDMILL_UNROLL
    for (int r = 0; r < R; ++r) {
      GRIDMILL_UNROLL
      for (int v = 0; v < kScoreVectors; ++v) {
        store(tile.scores + r * kPageKeys + 16 * (v0 + v), acc[r][v]);
      }
    }
  }
}

/// o_r = fma(p_rj, v_j, o_r) for keys [first, end) of a page, rows [row, row + R).
template <class Steps, int R, int V>
void add_values(const QueryTile<Steps>& tile, int row,
                const typename ValueElement<Steps>::Type* values, std::int64_t padded,
                std::int64_t column, int first, int end) {
  F32x16 acc[R][V];
  GRIDMILL_UNROLL
  for (int r = 0; r < R; ++r) {
    GRIDMILL_UNROLL
    for (int v = 0; v < V; ++v) {
      acc[r][v] = load(tile.outputs + (row + r) * padded + column + 16 * v);
    }
  }
  const float* p = tile.scores + row * kPageKeys;
  for (int j = first; j < end; ++j) {
    F32x16 value[V];
    GRIDMILL_UNROLL
    for (int v = 0; v < V; ++v) value[v] = load_values(values + j * padded + column + 16 * v);
    GRIDMILL_UNROLL
    for (int r = 0; r < R; ++r) {
      const F32x16 weight = splat(p[r * kPageKeys + j]);
      GRIDMILL_UNROLL
      for (int v = 0; v < V; ++v) acc[r][v] = fma(weight, value[v], acc[r][v]);
    }
  }
  GRIDMILL_UNROLL
  for (int r = 0; r < R; ++r) {
    GRIDMILL_UNROLL
    for (int v = 0; v < V; ++v) {
      store(tile.outputs + (row + r) * padded + column + 16 * v, acc[r][v]);
    }
  }
}

template <class Steps, int R>
void add_values_of(const QueryTile<Steps>& tile, int row,
                   const typename ValueElement<Steps>::Type* values, std::int64_t padded, int first,
                   int end) {
  if (first >= end) return;
  std::int64_t column = 0;
  for (; column + 16 * kValueVectors <= padded; column += 16 * kValueVectors) {
    add_values<Steps, R, kValueVectors>(tile, row, values, padded, column, first, end);
  }
  for (; column < padded; column += 16) {
    add_values<Steps, R, 1>(tile, row, values, padded, column, first, end);
  }
}

/// Largest of `start` and scores [first, end); NaN if one of them is.
GRIDMILL_SIMD float largest_of(const float* scores, int first, int end, float start) {
  F32x16 m = splat(start);
  for (int v = first / 16; v < (end + 15) / 16; ++v) {
    const F32x16 s = load(scores + 16 * v);
    const Mask16 visible = lanes_between(larger(first - 16 * v, 0), smaller(end - 16 * v, 16));
    m = larger_or_nan(m, select(visible, s, splat(start)));
  }
  alignas(64) float lanes[16];
  store(lanes, m);
  float result = lanes[0];
  for (int l = 1; l < 16; ++l) result = larger_or_nan(result, lanes[l]);
  return result;
}

/// Scores become p; l, m and the rescaling of o follow. Keys [first, end) of the page are visible.
GRIDMILL_SIMD void soften(QueryState& state, float* scores, float* output, std::int64_t padded,
                          float scale, int first, int end) {
  for (int v = 0; v < kKeyVectors; ++v) {
    store(scores + 16 * v, load(scores + 16 * v) * splat(scale));
  }
  const float max = largest_of(scores, first, end, state.max);
  alignas(64) float factor[16];
  store(factor, exp(splat(state.max - max)));
  F32x16 sum = zero();
  for (int v = 0; v < kKeyVectors; ++v) {
    const Mask16 visible =
        lanes_between(smaller(larger(first - 16 * v, 0), 16), larger(smaller(end - 16 * v, 16), 0));
    const F32x16 p = select(visible, exp(load(scores + 16 * v) - splat(max)), zero());
    store(scores + 16 * v, p);
    sum = sum + p;
  }
  state.sum = __builtin_fmaf(state.sum, factor[0], tree_sum(sum));
  state.max = max;
  for (std::int64_t d = 0; d < padded; d += 16) {
    store(output + d, load(output + d) * splat(factor[0]));
  }
}

template <class Steps, int R>
void attend_tile(const AttendArgs& args, const AttendSpan& span, int kv_head,
                 QueryTile<Steps>& tile) {
  const std::int64_t width = args.attention.head_dim;
  const std::int64_t padded = (width + 15) / 16 * 16;
  std::int64_t first_key = tile.rows[0].first_key;
  std::int64_t last_key = tile.rows[0].position;
  for (int r = 0; r < R; ++r) {
    QueryState& row = tile.rows[r];
    row.max = -kInfinity;
    row.sum = 0;
    first_key = smaller(first_key, row.first_key);
    last_key = larger(last_key, row.position);
    for (std::int64_t d = 0; d < padded; d += 16) store(tile.outputs + r * padded + d, zero());
  }
  for (std::int64_t page = first_key / kPageKeys; page <= last_key / kPageKeys; ++page) {
    const PageView<Steps> view = page_of<Steps>(args, span, kv_head, page);
    score_page<Steps, R>(tile, view.keys, units_of<Steps>(width));
    int first[R];
    int end[R];
    int common_first = 0;
    int common_end = kPageKeys;
    for (int r = 0; r < R; ++r) {
      QueryState& row = tile.rows[r];
      first[r] = static_cast<int>(larger<std::int64_t>(0, row.first_key - page * kPageKeys));
      end[r] =
          static_cast<int>(smaller<std::int64_t>(kPageKeys, row.position + 1 - page * kPageKeys));
      if (first[r] < end[r]) {
        soften(row, tile.scores + r * kPageKeys, tile.outputs + r * padded, padded,
               args.attention.scale, first[r], end[r]);
      } else {
        end[r] = first[r];
      }
      common_first = larger(common_first, first[r]);
      common_end = smaller(common_end, end[r]);
    }
    if (common_first >= common_end) {
      for (int r = 0; r < R; ++r) {
        add_values_of<Steps, 1>(tile, r, view.values, padded, first[r], end[r]);
      }
      continue;
    }
    for (int r = 0; r < R; ++r) {
      add_values_of<Steps, 1>(tile, r, view.values, padded, first[r], common_first);
    }
    add_values_of<Steps, R>(tile, 0, view.values, padded, common_first, common_end);
    for (int r = 0; r < R; ++r) {
      add_values_of<Steps, 1>(tile, r, view.values, padded, common_end, end[r]);
    }
  }
}

template <class Steps>
void attend_unit(const AttendArgs& args, const AttendSpan& span, int kv_head,
                 const Worker& worker) {
  const Attention& a = args.attention;
  const std::int64_t width = a.head_dim;
  const std::int64_t padded = (width + 15) / 16 * 16;
  const std::int64_t units = units_of<Steps>(width);
  const std::int64_t group = a.heads / a.kv_heads;
  QueryTile<Steps> tile{};
  tile.scores = reinterpret_cast<float*>(worker.scratch);
  tile.outputs = tile.scores + kQueryRows * kPageKeys;
  tile.queries = reinterpret_cast<typename Steps::Unit*>(tile.outputs + kQueryRows * padded);
  append<Steps>(args, span, kv_head, tile.queries);

  const std::int64_t query_rows = span.span.tokens * group;
  for (std::int64_t first = 0; first < query_rows; first += kQueryRows) {
    const int rows = static_cast<int>(smaller<std::int64_t>(kQueryRows, query_rows - first));
    for (int r = 0; r < rows; ++r) {
      const std::int64_t token = (first + r) / group;
      const std::int64_t head = kv_head * group + (first + r) % group;
      const std::int64_t position = span.span.position + token;
      float* query = args.qkv.data + (span.span.row + token) * args.qkv.stride + head * width;
      prepare_head(query, a, a.q_norm, position);
      to_units(query, width, tile.queries + r * units);
      tile.rows[r].position = position;
      tile.rows[r].first_key = a.window > 0 ? larger<std::int64_t>(0, position - a.window + 1) : 0;
    }
    switch (rows) {
      case 1:
        attend_tile<Steps, 1>(args, span, kv_head, tile);
        break;
      case 2:
        attend_tile<Steps, 2>(args, span, kv_head, tile);
        break;
      case 3:
        attend_tile<Steps, 3>(args, span, kv_head, tile);
        break;
      default:
        attend_tile<Steps, 4>(args, span, kv_head, tile);
    }
    for (int r = 0; r < rows; ++r) {
      const std::int64_t token = (first + r) / group;
      const std::int64_t head = kv_head * group + (first + r) % group;
      float* output = tile.outputs + r * padded;
      for (std::int64_t d = 0; d < padded; d += 16) {
        store(output + d, load(output + d) / splat(tile.rows[r].sum));
      }
      write_row(packed_row<Steps>(args.out, span.span.row + token), head * width, output, width);
    }
  }
}

template <class Steps>
void attend(const AttendArgs& args, const Worker& worker) {
  const int kv_heads = args.attention.kv_heads;
  const Share mine = share_of(args.span_count * kv_heads, worker);
  for (std::int64_t unit = mine.first; unit < mine.end; ++unit) {
    attend_unit<Steps>(args, args.spans[unit / kv_heads], static_cast<int>(unit % kv_heads),
                       worker);
  }
}

}  // namespace gridmill::cpu::GRIDMILL_CPU_TARGET
