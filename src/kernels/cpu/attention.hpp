// Causal attention over a paged cache (docs/numerics.md, sections 4 and 5).
//
// Contract: blocks of 64 keys at absolute positions, ascending; scores are chains over the head
// width with lanes across keys, values are chains over ascending keys with lanes across the head
// width, sums of p run in 16 lanes by key mod 16. One query row or many, decode or prefill: the
// same operations on each row (attention_page.hpp).
//
// Order of work. New keys and values come first, those of every sequence: a key is scattered over
// 2 KiB, and a load of a line that a store is still on its way to waits for it. A page holds all kv
// heads of a layer one after the other. A sequence with one new token goes through its pages and
// inside a page through the kv heads: memory is read as one stream, and on into the next sequence.
// A sequence with many new tokens takes 4 query rows at a time through the pages of one kv head,
// which stay in L2. A thread's unit is one (sequence, kv head).
//
// Figure wanted: decode reads keys and values at 80 % of read bandwidth. Measured (Zen 4, 12 heads
// of 64, docs/performance/cpu.md): 49, 67 and 74 % at 100, 500 and 2000 tokens of context.
#pragma once

#include "kernels/cpu/attention_page.hpp"
#include "kernels/cpu/rows.hpp"

namespace gridmill::cpu::GRIDMILL_CPU_TARGET {

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

/// x to [-clip, clip], in place; NaN stays.
inline void clamp(float* x, float clip, std::int64_t n) {
  for (std::int64_t i = 0; i < n; i += 16) {
    const int left = lanes_left(n, i);
    F32x16 value = load_first(x + i, left);
    value = select(less(splat(clip), value), splat(clip), value);
    value = select(less(value, splat(-clip)), splat(-clip), value);
    store_first(x + i, value, left);
  }
}

/// Norm, clamp and rotation of head `head`, as far as asked, in place.
inline void prepare_head(float* x, const Attention& attention, const ConstDeviceVector& norm,
                         std::int64_t head, const ConstDeviceMatrix& rotary,
                         std::int64_t position) {
  const std::int64_t width = attention.head_dim;
  if (norm.size != 0) {
    const float* weight = norm.data + (norm.size > width ? head * width : 0);
    norm_row(attention.norm_kind, attention.norm_eps, weight, nullptr, x, width, x);
  }
  if (attention.clip != 0) clamp(x, attention.clip, width);
  if (rotary.data != nullptr) {
    rotate(x, rotary.data + position * rotary.stride, rotary.columns);
  }
}

GRIDMILL_SIMD const ConstDeviceMatrix& rotary_of(const Attention& attention,
                                                 const TokenSpan& span) {
  return span.long_row ? attention.long_rotary : attention.rotary;
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
GRIDMILL_SIMD void to_values(const float* x, std::int64_t n, std::uint32_t* values) {
  for (std::int64_t i = 0; i < n; i += 32) {
    const I32x16 low = bf16_bits(load_first(x + i, lanes_left(n, i)));
    const int left = larger(0, lanes_left(n, i + 16));
    const I32x16 high = bf16_bits(load_first(x + i + (left > 0 ? 16 : 0), left));
    store_words(values + i / 2, low | shift_left<16>(high));
  }
}

template <class Steps>
GRIDMILL_SIMD PageView<Steps> page_of(const AttendArgs& args, const AttendSpan& span, int kv_head,
                                      std::int64_t page) {
  std::byte* base = span.pages[page] + args.layer_offset +
                    static_cast<std::size_t>(kv_head) * (args.key_bytes + args.value_bytes);
  using Word = typename Values<Steps>::Word;
  return {reinterpret_cast<typename Steps::Unit*>(base),
          reinterpret_cast<Word*>(base + args.key_bytes),
          static_cast<std::int64_t>((args.key_bytes + args.value_bytes) / sizeof(Word))};
}

/// Where unit 0 of a key is in its page; the next one is 16 further.
template <class Steps>
GRIDMILL_SIMD typename Steps::Unit* key_at(const PageView<Steps>& page, std::int64_t position,
                                           std::int64_t units) {
  const std::int64_t slot = position % kPageKeys;
  return page.keys + slot / 16 * units * 16 + slot % 16;
}

/// Fetches the lines that the first new key of a unit goes to.
template <class Steps>
void fetch_key_lines(const AttendArgs& args, const AttendSpan& span, int kv_head) {
  const std::int64_t position = span.span.position;
  const std::int64_t units = units_of<Steps>(args.attention.head_dim);
  const auto page = page_of<Steps>(args, span, kv_head, position / kPageKeys);
  const typename Steps::Unit* key = key_at<Steps>(page, position, units);
  for (std::int64_t u = 0; u < units; ++u) __builtin_prefetch(key + 16 * u, 1);
}

/// Prepares and keeps the keys and values of a span's tokens. `units` is scratch.
template <class Steps>
void append(const AttendArgs& args, const AttendSpan& span, int kv_head,
            typename Steps::Unit* units) {
  const Attention& a = args.attention;
  const std::int64_t width = a.head_dim;
  const std::int64_t padded = padded_width<Steps>(width);
  for (std::int64_t t = 0; t < span.span.tokens; ++t) {
    const std::int64_t position = span.span.position + t;
    float* row = args.qkv.data + (span.span.row + t) * args.qkv.stride;
    float* key = row + (a.heads + kv_head) * width;
    float* value = row + (a.heads + a.kv_heads + kv_head) * width;
    prepare_head(key, a, a.k_norm, kv_head, rotary_of(a, span.span), position);
    if (a.clip != 0) clamp(value, a.clip, width);
    const PageView<Steps> page = page_of<Steps>(args, span, kv_head, position / kPageKeys);
    const std::int64_t slot = position % kPageKeys;
    to_units(key, width, units);
    const std::int64_t count = units_of<Steps>(width);
    typename Steps::Unit* to = key_at<Steps>(page, position, count);
    for (std::int64_t u = 0; u < count; ++u) to[16 * u] = units[u];
    to_values(value, width, page.values + slot * padded / Values<Steps>::kColumns);
  }
}

/// Scratch for the tiles of query rows of one thread.
template <class Steps>
struct TileMemory {
  float* scores;
  std::byte* next;  ///< what is left
  std::int64_t width;

  TileMemory(const Worker& worker, std::int64_t head_dim)
      : scores(reinterpret_cast<float*>(worker.scratch)),
        next(worker.scratch + sizeof(float) * kQueryRows * kPageKeys),
        width(head_dim) {}
  QueryTile<Steps> take_tile() {
    QueryTile<Steps> tile{};
    tile.scores = scores;
    tile.outputs = reinterpret_cast<float*>(next);
    next += sizeof(float) * kQueryRows * static_cast<std::size_t>(padded_width<Steps>(width));
    tile.queries = reinterpret_cast<typename Steps::Unit*>(next);
    next += sizeof(float) * kQueryRows * static_cast<std::size_t>(padded_width<Steps>(width));
    return tile;
  }
};

/// Query rows [first, first + count) of a kv head, numbered token by token, head by head of its
/// group; or with pages of their own the only token's rows of kv heads from `kv_head` on, each the
/// only one of its group.
struct TileRows {
  int kv_head;
  std::int64_t first;
  int count;
  Pages pages;
};
struct QueryPlace {
  std::int64_t token, head;
};
GRIDMILL_SIMD QueryPlace place_of(const Attention& attention, const TileRows& rows, int r) {
  if (rows.pages == Pages::own) return {0, rows.kv_head + r};
  const std::int64_t group = attention.heads / attention.kv_heads;
  const std::int64_t row = rows.first + r;
  return {row / group, rows.kv_head * group + row % group};
}

/// Loads query rows of a span into a tile.
template <class Steps>
void begin_tile(const AttendArgs& args, const AttendSpan& span, const TileRows& rows,
                QueryTile<Steps>& tile) {
  const Attention& a = args.attention;
  const std::int64_t width = a.head_dim;
  for (int r = 0; r < rows.count; ++r) {
    const QueryPlace place = place_of(a, rows, r);
    const std::int64_t position = span.span.position + place.token;
    float* query =
        args.qkv.data + (span.span.row + place.token) * args.qkv.stride + place.head * width;
    prepare_head(query, a, a.q_norm, place.head, rotary_of(a, span.span), position);
    to_units(query, width, tile.queries + r * units_of<Steps>(width));
    QueryState& row = tile.rows[r];
    row.position = position;
    row.first_key = a.window > 0 ? larger<std::int64_t>(0, position - a.window + 1) : 0;
    row.max = -kInfinity;
    row.sum = 0;
  }
  const std::int64_t padded = padded_width<Steps>(width);
  for (std::int64_t d = 0; d < rows.count * padded; d += 16) store(tile.outputs + d, zero());
}

/// The sink of a head joins the softmax of a query row, as the last score.
GRIDMILL_SIMD void add_sink(float sink, QueryState& row, float* output, std::int64_t padded) {
  const float max = larger_or_nan(row.max, sink);
  alignas(64) float lanes[16];
  store(lanes, exp(splat(row.max - max)));
  const float factor = lanes[0];
  store(lanes, exp(splat(sink - max)));
  row.sum = __builtin_fmaf(row.sum, factor, lanes[0]);
  for (std::int64_t d = 0; d < padded; d += 16) {
    store(output + d, load(output + d) * splat(factor));
  }
}

/// output = output * sigmoid(gate).
inline void apply_gate(const float* gate, float* output, std::int64_t width) {
  for (std::int64_t i = 0; i < width; i += 16) {
    const int left = lanes_left(width, i);
    store_first(output + i, load_first(output + i, left) * sigmoid(load_first(gate + i, left)),
                left);
  }
}

template <class Steps>
void finish_tile(const AttendArgs& args, const AttendSpan& span, const TileRows& rows,
                 const QueryTile<Steps>& tile) {
  const std::int64_t width = args.attention.head_dim;
  const std::int64_t padded = padded_width<Steps>(width);
  for (int r = 0; r < rows.count; ++r) {
    const QueryPlace place = place_of(args.attention, rows, r);
    float* output = tile.outputs + r * padded;
    const Attention& a = args.attention;
    QueryState state = tile.rows[r];
    if (a.sinks.size != 0) add_sink(a.sinks.data[place.head], state, output, padded);
    for (std::int64_t d = 0; d < padded; d += 16) {
      store(output + d, load(output + d) / splat(state.sum));
    }
    if (a.output_gate) {
      const float* row = args.qkv.data + (span.span.row + place.token) * args.qkv.stride;
      apply_gate(row + (a.heads + 2 * a.kv_heads + place.head) * width, output, width);
    }
    write_row(packed_row<Steps>(args.out, span.span.row + place.token), place.head * width, output,
              width);
  }
}

/// Many new tokens: tile by tile through the pages of one kv head.
template <class Steps>
void attend_many(const AttendArgs& args, const AttendSpan& span, int kv_head,
                 const Worker& worker) {
  const Attention& a = args.attention;
  TileMemory<Steps> memory(worker, a.head_dim);
  QueryTile<Steps> tile = memory.take_tile();
  const std::int64_t query_rows = span.span.tokens * (a.heads / a.kv_heads);
  for (std::int64_t first = 0; first < query_rows; first += kQueryRows) {
    const int count = static_cast<int>(smaller<std::int64_t>(kQueryRows, query_rows - first));
    const TileRows rows{kv_head, first, count, Pages::shared};
    begin_tile(args, span, rows, tile);
    const std::int64_t first_page = tile.rows[0].first_key / kPageKeys;
    const std::int64_t last_page = tile.rows[count - 1].position / kPageKeys;
    for (std::int64_t page = first_page; page <= last_page; ++page) {
      const PageView<Steps> next =
          page_of<Steps>(args, span, kv_head, smaller(page + 1, last_page));
      const PageVisit<Steps> visit{page_of<Steps>(args, span, kv_head, page),
                                   page * kPageKeys,
                                   reinterpret_cast<const std::byte*>(next.keys),
                                   a.head_dim,
                                   a.scale,
                                   a.score_cap};
      visit_page<Pages::shared>(visit, tile, count);
    }
    finish_tile(args, span, rows, tile);
  }
}

/// Kv heads [first_head, end_head) of a span.
struct Piece {
  const AttendSpan* span;
  int first_head, end_head;
};

/// First page that the last token of a span looks at.
GRIDMILL_SIMD std::int64_t first_page_of(const AttendArgs& args, const AttendSpan& span) {
  const std::int64_t last = span.span.position + span.span.tokens - 1;
  const std::int64_t window = args.attention.window;
  return window > 0 ? larger<std::int64_t>(0, last - window + 1) / kPageKeys : 0;
}

/// The query rows of one new token that visit a page together.
template <class Steps>
struct DecodeTile {
  TileRows rows;
  QueryTile<Steps> queries;
};

template <class Steps>
struct DecodeTiles {
  DecodeTile<Steps>* data;
  int count;
};

/// Cuts the query rows of a piece with one new token into tiles: up to 4 rows of a kv head, or the
/// rows of up to 4 heads that have one each.
template <class Steps>
DecodeTiles<Steps> take_tiles(const AttendArgs& args, const Piece& piece,
                              TileMemory<Steps>& memory) {
  // Room that CpuBackend::attend reserves for a tile beside its outputs and queries.
  static_assert(sizeof(DecodeTile<Steps>) <= 64 * sizeof(float));
  const int group = args.attention.heads / args.attention.kv_heads;
  auto* tiles = reinterpret_cast<DecodeTile<Steps>*>(memory.next);
  int count = 0;
  for (int head = piece.first_head; head < piece.end_head; ++head) {
    if (group == 1) {
      const int heads = smaller(kQueryRows, piece.end_head - head);
      tiles[count++].rows = {head, 0, heads, Pages::own};
      head += heads - 1;
      continue;
    }
    for (int first = 0; first < group; first += kQueryRows) {
      tiles[count++].rows = {head, first, smaller(kQueryRows, group - first), Pages::shared};
    }
  }
  memory.next += (static_cast<std::size_t>(count) * sizeof(DecodeTile<Steps>) + 63) / 64 * 64;
  for (int i = 0; i < count; ++i) tiles[i].queries = memory.take_tile();
  return {tiles, count};
}

/// One new token: page by page through the kv heads. `next`: what the thread turns to then.
template <class Steps>
void attend_one(const AttendArgs& args, const Piece& piece, const Piece& next,
                const Worker& worker) {
  const Attention& a = args.attention;
  const AttendSpan& span = *piece.span;
  TileMemory<Steps> memory(worker, a.head_dim);
  const DecodeTiles<Steps> tiles = take_tiles(args, piece, memory);
  for (int i = 0; i < tiles.count; ++i) {
    begin_tile(args, span, tiles.data[i].rows, tiles.data[i].queries);
  }
  const std::int64_t last_page = span.span.position / kPageKeys;
  for (std::int64_t page = first_page_of(args, span); page <= last_page; ++page) {
    for (int i = 0; i < tiles.count; ++i) {
      DecodeTile<Steps>& tile = tiles.data[i];
      int after = i + 1;
      while (after < tiles.count && tiles.data[after].rows.kv_head == tile.rows.kv_head) ++after;
      const PageView<Steps> following =
          after < tiles.count ? page_of<Steps>(args, span, tiles.data[after].rows.kv_head, page)
          : page < last_page
              ? page_of<Steps>(args, span, piece.first_head, page + 1)
              : page_of<Steps>(args, *next.span, next.first_head, first_page_of(args, *next.span));
      const PageVisit<Steps> visit{page_of<Steps>(args, span, tile.rows.kv_head, page),
                                   page * kPageKeys,
                                   reinterpret_cast<const std::byte*>(following.keys),
                                   a.head_dim,
                                   a.scale,
                                   a.score_cap};
      if (tile.rows.pages == Pages::own) {
        visit_page<Pages::own>(visit, tile.queries, tile.rows.count);
      } else {
        visit_page<Pages::shared>(visit, tile.queries, tile.rows.count);
      }
    }
  }
  for (int i = 0; i < tiles.count; ++i) {
    finish_tile(args, span, tiles.data[i].rows, tiles.data[i].queries);
  }
}

/// Keys that a span's tokens look at, about: what its time is proportional to.
GRIDMILL_SIMD std::int64_t cost_of(const AttendSpan& span) {
  return span.span.tokens * (2 * std::int64_t{span.span.position} + span.span.tokens + 64);
}

/// Cuts the units (sequence, kv head) into parts of about equal cost, and calls visit(piece, next
/// piece) for those of one worker.
template <class Visit>
void for_each_piece(const AttendArgs& args, const Worker& worker, const Visit& visit) {
  const int kv_heads = args.attention.kv_heads;
  std::int64_t total = 0;
  for (std::int64_t s = 0; s < args.span_count; ++s) total += cost_of(args.spans[s]) * kv_heads;
  // A unit belongs to the worker in whose part of [0, total) it begins.
  const std::int64_t begin = total / worker.count * worker.index;
  const std::int64_t end =
      worker.index + 1 == worker.count ? total : total / worker.count * (worker.index + 1);
  std::int64_t at = 0;
  Piece waiting{nullptr, 0, 0};
  for (std::int64_t s = 0; s < args.span_count; ++s) {
    const std::int64_t cost = cost_of(args.spans[s]);
    Piece piece{args.spans + s, kv_heads, 0};
    for (int head = 0; head < kv_heads; ++head, at += cost) {
      if (at < begin || at >= end) continue;
      piece.first_head = smaller(piece.first_head, head);
      piece.end_head = head + 1;
    }
    if (piece.first_head >= piece.end_head) continue;
    if (waiting.span != nullptr) visit(waiting, piece);
    waiting = piece;
  }
  if (waiting.span != nullptr) visit(waiting, waiting);
}

template <class Steps>
void attend(const AttendArgs& args, const Worker& worker) {
  auto* units = reinterpret_cast<typename Steps::Unit*>(worker.scratch);
  for_each_piece(args, worker, [&](const Piece& piece, const Piece& next) {
    for (int head = piece.first_head; head < piece.end_head; ++head) {
      const bool last = head + 1 == piece.end_head;
      fetch_key_lines<Steps>(args, last ? *next.span : *piece.span,
                             last ? next.first_head : head + 1);
      append<Steps>(args, *piece.span, head, units);
    }
  });
  for_each_piece(args, worker, [&](const Piece& piece, const Piece& next) {
    if (piece.span->span.tokens == 1) {
      attend_one<Steps>(args, piece, next, worker);
      return;
    }
    for (int head = piece.first_head; head < piece.end_head; ++head) {
      attend_many<Steps>(args, *piece.span, head, worker);
    }
  });
}

}  // namespace gridmill::cpu::GRIDMILL_CPU_TARGET
