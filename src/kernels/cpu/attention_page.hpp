// One page of the KV cache: 64 keys and values of one kv head in one layer, and what a few query
// rows do with it (docs/numerics.md, section 5).
//
//   keys    [4][units of Dh][16]   (bf16: pairs, so that q.k runs on pair products)
//   values  fp32: [64][Dh rounded up to 16]
//           bf16: [64][Dh rounded up to 32], inside 32 columns as pairs (c, c + 16), so that a
//           shift and a mask widen two vectors
//
// so that the keys and values of a page that is not yet full are two short streams from its start,
// and only vectors with a visible key are read.
//
// Blocking: 4 query rows x 4 key vectors = 16 chains for the scores, 4 rows x 4 vectors of the head
// width for the values: enough to hide the 4 to 6 cycles of an fma. A single query row (decode, one
// query head a kv head) has 4 chains and would wait for them most of the time; then the rows of up
// to 4 kv heads go together, each through its own keys and values (Pages::own): 67 instead of 56 %
// of read bandwidth at 500 tokens of context.
//
// Prefetch: keys and values of a page are some KiB, too short for the hardware's stream detection
// to be of much use. Scores fetch the page's values, values the keys of the visit that comes next,
// both into L2: L1 can await too few lines at a time, and twice as many requests, a page further
// too, took longer than they saved.
#pragma once

#include "kernels/cpu/math.hpp"
#include "kernels/cpu/packed.hpp"

namespace gridmill::cpu::GRIDMILL_CPU_TARGET {

constexpr int kQueryRows = 4;
constexpr int kKeyVectors = kPageKeys / 16;
/// Vectors of the head width that are summed together.
constexpr int kValueVectors = kWide ? 4 : 2;

/// How values are kept in each compute dtype.
template <class Steps>
struct Values;
template <>
struct Values<Fp32Steps> {
  using Word = float;
  static constexpr int kColumns = 1;  ///< of a word
  static constexpr int kVectors = 1;  ///< that are loaded together
  GRIDMILL_SIMD static void load(const Word* p, F32x16* out) {
    out[0] = GRIDMILL_CPU_TARGET::load(p);
  }
};
template <>
struct Values<Bf16Steps> {
  using Word = std::uint32_t;
  static constexpr int kColumns = 2;
  static constexpr int kVectors = 2;
  GRIDMILL_SIMD static void load(const Word* p, F32x16* out) { load_bf16_pairs(p, out[0], out[1]); }
};
template <class Steps>
GRIDMILL_SIMD std::int64_t padded_width(std::int64_t width) {
  constexpr int kMultiple = 16 * Values<Steps>::kVectors;
  return (width + kMultiple - 1) / kMultiple * kMultiple;
}

/// One query row on its way through the key blocks.
struct QueryState {
  std::int64_t position;  ///< sees keys [first_key, position]
  std::int64_t first_key;
  float max, sum;
};

/// Whether the query rows of a tile look at one kv head, or row r at the r-th of consecutive ones.
enum class Pages : std::uint8_t { shared, own };

/// Up to 4 query rows.
template <class Steps>
struct QueryTile {
  typename Steps::Unit* queries;  ///< [rows][units of Dh]
  float* scores;                  ///< [rows][64]; then p
  float* outputs;                 ///< [rows][padded Dh]
  QueryState rows[kQueryRows];
};

/// Keys and values of one kv head in a page; those of the next head are `head_words` further.
template <class Steps>
struct PageView {
  typename Steps::Unit* keys;
  typename Values<Steps>::Word* values;
  std::int64_t head_words;
};

/// A line of each of `Heads` heads.
template <int Heads>
GRIDMILL_SIMD void fetch_ahead(const std::byte* line, std::int64_t head_bytes) {
  GRIDMILL_UNROLL
  for (int head = 0; head < Heads; ++head) prefetch<2>(line + head * head_bytes);
}

/// scores[r] = q_r . k_j for V vectors of keys from vector `first`; fetches as much from `ahead`
/// meanwhile.
template <class Steps, int R, int V, Pages P>
void score_keys(const QueryTile<Steps>& tile, const PageView<Steps>& page, const std::byte* ahead,
                std::int64_t units, int first) {
  constexpr int kHeads = P == Pages::own ? R : 1;
  F32x16 acc[R][V];
  GRIDMILL_UNROLL
  for (int r = 0; r < R; ++r) {
    GRIDMILL_UNROLL
    for (int v = 0; v < V; ++v) acc[r][v] = zero();
  }
  const typename Steps::Unit* k = page.keys + 16 * units * first;
  const typename Steps::Unit* q = tile.queries;
  ahead += 64 * units * first;
  for (std::int64_t u = 0; u < units; ++u) {
    GRIDMILL_UNROLL
    for (int v = 0; v < V; ++v) fetch_ahead<kHeads>(ahead + 64 * v, 4 * page.head_words);
    typename Steps::Vector key[V];
    GRIDMILL_UNROLL
    for (int r = 0; r < R; ++r) {
      if (r < kHeads) {
        GRIDMILL_UNROLL
        for (int v = 0; v < V; ++v) {
          key[v] = Steps::load(k + r * page.head_words + 16 * units * v);
        }
      }
      const typename Steps::Vector query = Steps::splat(q + r * units);
      GRIDMILL_UNROLL
      for (int v = 0; v < V; ++v) acc[r][v] = Steps::step(query, key[v], acc[r][v]);
    }
    k += 16;
    q += 1;
    ahead += 64 * V;
  }
  GRIDMILL_UNROLL
  for (int r = 0; r < R; ++r) {
    GRIDMILL_UNROLL
    for (int v = 0; v < V; ++v) store(tile.scores + r * kPageKeys + 16 * (first + v), acc[r][v]);
  }
}

/// Scores of the first `vectors` vectors of keys of a page; fetches as many of its values.
template <class Steps, int R, Pages P>
void score_page(const QueryTile<Steps>& tile, const PageView<Steps>& page, std::int64_t units,
                int vectors) {
  // 16 values of a unit's width are as long as 16 keys of it.
  const auto* ahead = reinterpret_cast<const std::byte*>(page.values);
  if constexpr (kWide) {
    switch (vectors) {
      case 1:
        return score_keys<Steps, R, 1, P>(tile, page, ahead, units, 0);
      case 2:
        return score_keys<Steps, R, 2, P>(tile, page, ahead, units, 0);
      case 3:
        return score_keys<Steps, R, 3, P>(tile, page, ahead, units, 0);
      default:
        return score_keys<Steps, R, kKeyVectors, P>(tile, page, ahead, units, 0);
    }
  } else {
    for (int v = 0; v < vectors; ++v) {
      score_keys<Steps, R, 1, P>(tile, page, ahead, units, v);
    }
  }
}

/// Some keys of a page whose values are summed, and what to fetch meanwhile.
template <class Steps>
struct ValueRange {
  const typename Values<Steps>::Word* values;
  std::int64_t head_words;
  const std::byte* ahead;  ///< keys of the next page
  std::int64_t padded;
  int first, end;
};

/// o_r = fma(p_rj, v_j, o_r) over the range, for rows [row, row + R) and V vectors from `column`.
template <class Steps, int R, int V, Pages P>
void add_values(const QueryTile<Steps>& tile, int row, const ValueRange<Steps>& range,
                std::int64_t column) {
  using V0 = Values<Steps>;
  constexpr int kHeads = P == Pages::own ? R : 1;
  F32x16 acc[R][V];
  float* out = tile.outputs + row * range.padded + column;
  GRIDMILL_UNROLL
  for (int r = 0; r < R; ++r) {
    GRIDMILL_UNROLL
    for (int v = 0; v < V; ++v) acc[r][v] = load(out + r * range.padded + 16 * v);
  }
  const float* p = tile.scores + row * kPageKeys;
  const std::int64_t stride = range.padded / V0::kColumns;
  const std::int64_t offset = range.first * stride + column / V0::kColumns;
  const typename V0::Word* words = range.values + offset;
  const std::byte* ahead = range.ahead + 4 * offset;
  for (int j = range.first; j < range.end; ++j) {
    GRIDMILL_UNROLL
    for (int line = 0; line < V / V0::kVectors; ++line) {
      fetch_ahead<kHeads>(ahead + 64 * line, 4 * range.head_words);
    }
    F32x16 value[V];
    GRIDMILL_UNROLL
    for (int r = 0; r < R; ++r) {
      if (r < kHeads) {
        GRIDMILL_UNROLL
        for (int v = 0; v < V; v += V0::kVectors) {
          V0::load(words + r * range.head_words + 16 * v / V0::kColumns, value + v);
        }
      }
      const F32x16 weight = splat(p[r * kPageKeys + j]);
      GRIDMILL_UNROLL
      for (int v = 0; v < V; ++v) acc[r][v] = fma(weight, value[v], acc[r][v]);
    }
    words += stride;
    ahead += 4 * stride;
  }
  GRIDMILL_UNROLL
  for (int r = 0; r < R; ++r) {
    GRIDMILL_UNROLL
    for (int v = 0; v < V; ++v) store(out + r * range.padded + 16 * v, acc[r][v]);
  }
}

/// The same for every column and keys [first, end).
template <class Steps, int R, Pages P>
void add_all_values(const QueryTile<Steps>& tile, int row, ValueRange<Steps> range, int first,
                    int end) {
  if (first >= end) return;
  range.first = first;
  range.end = end;
  constexpr int kFew = Values<Steps>::kVectors;
  std::int64_t column = 0;
  for (; column + 16 * kValueVectors <= range.padded; column += 16 * kValueVectors) {
    add_values<Steps, R, kValueVectors, P>(tile, row, range, column);
  }
  for (; column < range.padded; column += 16 * kFew) {
    add_values<Steps, R, kFew, P>(tile, row, range, column);
  }
}

/// Scores become p; l, m and the rescaling of o follow. Keys [first, end) of the page are visible.
GRIDMILL_SIMD void soften(QueryState& state, float* scores, float* output, std::int64_t padded,
                          float scale, float cap, int first, int end) {
  // Scores past the last visible vector have not been computed; they are never used.
  F32x16 s[kKeyVectors];
  Mask16 visible[kKeyVectors];
  F32x16 largest = splat(state.max);
  Mask16 nan = is_nan(largest);
  GRIDMILL_UNROLL
  for (int v = 0; v < kKeyVectors; ++v) {
    visible[v] =
        lanes_between(smaller(larger(first - 16 * v, 0), 16), larger(smaller(end - 16 * v, 16), 0));
    F32x16 score = load(scores + 16 * v) * splat(scale);
    if (cap != 0) score = splat(cap) * tanh(score / splat(cap));
    s[v] = select(visible[v], score, splat(-kInfinity));
    largest = select(less(largest, s[v]), s[v], largest);
    nan = nan | is_nan(s[v]);
  }
  const float max = bits_of(nan) != 0 ? __builtin_nanf("") : largest_lane(largest);
  F32x16 sum = zero();
  GRIDMILL_UNROLL
  for (int v = 0; v < kKeyVectors; ++v) {
    const F32x16 p = select(visible[v], exp(s[v] - splat(max)), zero());
    store(scores + 16 * v, p);
    sum = sum + p;
  }
  // exp(0) is exactly 1, which changes nothing.
  float factor = 1;
  if (max != state.max) {
    alignas(64) float lanes[16];
    store(lanes, exp(splat(state.max - max)));
    factor = lanes[0];
    for (std::int64_t d = 0; d < padded; d += 16) {
      store(output + d, load(output + d) * splat(factor));
    }
  }
  state.sum = __builtin_fmaf(state.sum, factor, tree_sum(sum));
  state.max = max;
}

/// Where a page's work goes on.
template <class Steps>
struct PageVisit {
  PageView<Steps> page;
  std::int64_t first_key;  ///< position of the page's first key
  const std::byte* next;   ///< keys of what is visited next
  std::int64_t width;      ///< Dh
  float scale;
  float score_cap;
};

/// R query rows look at a page; with their own heads they stand at one position.
template <class Steps, int R, Pages P>
void visit_page(const PageVisit<Steps>& visit, QueryTile<Steps>& tile) {
  const std::int64_t padded = padded_width<Steps>(visit.width);
  int first[R];
  int end[R];
  int common_first = 0;
  int common_end = kPageKeys;
  int last = 0;
  for (int r = 0; r < R; ++r) {
    const QueryState& row = tile.rows[r];
    first[r] = static_cast<int>(
        smaller<std::int64_t>(kPageKeys, larger<std::int64_t>(0, row.first_key - visit.first_key)));
    end[r] = static_cast<int>(larger<std::int64_t>(
        first[r], smaller<std::int64_t>(kPageKeys, row.position + 1 - visit.first_key)));
    common_first = larger(common_first, first[r]);
    common_end = smaller(common_end, end[r]);
    last = larger(last, end[r]);
  }
  score_page<Steps, R, P>(tile, visit.page, units_of<Steps>(visit.width), (last + 15) / 16);
  for (int r = 0; r < R; ++r) {
    if (first[r] == end[r]) continue;
    soften(tile.rows[r], tile.scores + r * kPageKeys, tile.outputs + r * padded, padded,
           visit.scale, visit.score_cap, first[r], end[r]);
  }
  const ValueRange<Steps> range{visit.page.values, visit.page.head_words, visit.next, padded, 0, 0};
  if constexpr (P == Pages::own) {
    add_all_values<Steps, R, P>(tile, 0, range, common_first, common_end);
    return;
  }
  const auto alone = [&](int row, int from, int to) {
    add_all_values<Steps, 1, Pages::shared>(tile, row, range, from, to);
  };
  if (common_first >= common_end) {
    for (int r = 0; r < R; ++r) alone(r, first[r], end[r]);
    return;
  }
  for (int r = 0; r < R; ++r) alone(r, first[r], common_first);
  add_all_values<Steps, R, P>(tile, 0, range, common_first, common_end);
  for (int r = 0; r < R; ++r) alone(r, common_end, end[r]);
}

template <Pages P, class Steps>
void visit_page(const PageVisit<Steps>& visit, QueryTile<Steps>& tile, int rows) {
  switch (rows) {
    case 1:
      return visit_page<Steps, 1, P>(visit, tile);
    case 2:
      return visit_page<Steps, 2, P>(visit, tile);
    case 3:
      return visit_page<Steps, 3, P>(visit, tile);
    default:
      return visit_page<Steps, 4, P>(visit, tile);
  }
}

}  // namespace gridmill::cpu::GRIDMILL_CPU_TARGET
