// Causal attention over a paged cache in bf16 on tensor cores, for heads of a multiple of 8. A warp
// multiplies a page of 64 keys by some columns - query heads of rows - and joins the pages of a
// split in ascending order. A row that comes alone shares a thread block with its kv head's other
// queries, a warp a page; a prompt's rows come in tiles, a warp 16 columns and page after page.
// Both sum in one order, which depends on the position alone.
#include <cuda_platform.hpp>

#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/fragment.cuh"
#include "kernels/cuda/reduce.cuh"

namespace gridmill::cuda {

namespace {

constexpr int kWarps = kSplitPositions / kPagePositions;
constexpr int kThreads = kWarps * kWarp;
constexpr int kHalfKeys = 32;  ///< of a page: inputs that probabilities and values meet in

/// This lane's place in fragments: column (or row) of eight, and pair of four.
GRIDMILL_DEVICE int lane_group() { return thread_index() % kWarp / 4; }
GRIDMILL_DEVICE int lane_part() { return thread_index() % 4; }

/// Keys [begin, end) of a page, counted from its first.
struct PageKeys {
  int begin;
  int end;
  [[nodiscard]] GRIDMILL_DEVICE bool empty() const { return begin >= end; }
  [[nodiscard]] GRIDMILL_DEVICE bool has(int key) const { return key >= begin && key < end; }
  /// Whether any, or all of the keys of half 0 or 1 are among them.
  [[nodiscard]] GRIDMILL_DEVICE bool touches(int half) const {
    return begin < kHalfKeys * (half + 1) && end > kHalfKeys * half;
  }
  [[nodiscard]] GRIDMILL_DEVICE bool covers(int half) const {
    return begin <= kHalfKeys * half && end >= kHalfKeys * (half + 1);
  }
};

GRIDMILL_DEVICE PageKeys keys_of(const Visible& visible, std::int64_t page_begin) {
  const std::int64_t begin = visible.begin - page_begin;
  const std::int64_t end = visible.end - page_begin;
  return {begin > 0 ? static_cast<int>(begin < kPagePositions ? begin : kPagePositions) : 0,
          end < kPagePositions ? static_cast<int>(end > 0 ? end : 0) : kPagePositions};
}

GRIDMILL_DEVICE std::uint32_t pair_of(float low, float high) {
  using E = Element<DType::bf16>;
  return static_cast<std::uint32_t>(E::round(low)) | static_cast<std::uint32_t>(E::round(high))
                                                         << 16;
}

/// A warp's page: 8 `Eights` columns (an eight of them in each half of the 16 side) by 64 keys,
/// then by the values. Heads have at most 32 `Pieces` elements; what is missing is 0.
///
/// Column c of an eight lies with the four lanes of group c, which hold the same of it all along.
/// Lane part t has the scores of keys 8 t .. 8 t + 7 of each half of the page. The second product
/// needs this order, and the first product may have any order of keys.
template <int Pieces, int Eights>
class PageProduct {
 public:
  static constexpr int kTiles = 4 * Pieces;  ///< of 8 elements of a head

  GRIDMILL_DEVICE explicit PageProduct(int head_dim) : head_dim_(head_dim) {}

  /// `query` of this lane's column of an eight; nullptr: there is none.
  GRIDMILL_DEVICE void load_query(int eight, const Bf16* query) {
#pragma unroll
    for (int piece = 0; piece < Pieces; ++piece) {
      const int d = 32 * piece + 8 * lane_part();
      if (query == nullptr || d >= head_dim_) continue;
      queries_[piece][eight] = *reinterpret_cast<const Eight*>(query + d);
    }
  }

  /// Scores of the keys that any column sees, unscaled. Sums ascend over pieces of 32 elements.
  GRIDMILL_DEVICE void score(const Bf16* keys, const PageKeys& seen) {
    constexpr int kBatch = Pieces < 4 ? 4 : 8 / Pieces;  ///< tiles of 8 keys in flight
#pragma unroll
    for (int first = 0; first < kKeyTiles; first += kBatch) {
      Eight loaded[kBatch][Pieces] = {};
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        const int tile = first + i;
        if (!seen.touches(tile / 4)) continue;
        const int key =
            kHalfKeys * (tile / 4) + 8 * (lane_group() / 2) + 2 * (tile % 4) + lane_group() % 2;
#pragma unroll
        for (int piece = 0; piece < Pieces; ++piece) {
          const int d = 32 * piece + 8 * lane_part();
          if (d < head_dim_) {
            loaded[i][piece] = *reinterpret_cast<const Eight*>(keys + key * head_dim_ + d);
          }
        }
      }
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        float sums[4] = {};
#pragma unroll
        for (int piece = 0; piece < Pieces; ++piece) {
          multiply_32(sums, queries_[piece][0], high_of(queries_[piece]), loaded[i][piece]);
        }
#pragma unroll
        for (int of = 0; of < 2 * Eights; ++of) scores_[first + i][of] = sums[of];
      }
    }
  }

  /// Turns scores of an eight into probabilities, rounded to bf16 for the second product and for
  /// their sum: 16 keys ascending in a lane, then lanes l and l + 1, + 2.
  GRIDMILL_DEVICE Softmax weigh(int eight, const PageKeys& visible, const Attention& attention) {
    Softmax part;
#pragma unroll
    for (int tile = 0; tile < kKeyTiles; ++tile) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        float& score = scores_[tile][2 * eight + i];
        score = score_of(attention, score);
        if (visible.has(key_of(tile, i))) part.max = larger_of(part.max, score);
      }
    }
    part.max = larger_of(part.max, shuffle_xor(part.max, 1));
    part.max = larger_of(part.max, shuffle_xor(part.max, 2));
#pragma unroll
    for (int tile = 0; tile < kKeyTiles; ++tile) {
      float p[2];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        using E = Element<DType::bf16>;
        const bool has = visible.has(key_of(tile, i));
        p[i] = has ? E::load(E::round(exp_of(scores_[tile][2 * eight + i] - part.max))) : 0.0F;
        part.norm = part.norm + p[i];
      }
      weights_[tile / 4][eight].pair[tile % 4] = pair_of(p[0], p[1]);
    }
    part.norm = part.norm + shuffle_xor(part.norm, 1);
    part.norm = part.norm + shuffle_xor(part.norm, 2);
    return part;
  }

  /// Whether the values of some keys are, for the whole warp.
  GRIDMILL_DEVICE bool are_finite(const Bf16* values, const PageKeys& keys) const {
    int broken = 0;
    for (int d = lane_group(); d < head_dim_; d += 8) {
      for (int half = 0; half < 2; ++half) {
        if (!keys.touches(half)) continue;
        const int key = kHalfKeys * half + 8 * lane_part();
        Eight loaded = *reinterpret_cast<const Eight*>(values + d * kPagePositions + key);
        clear_unseen(loaded, half, keys);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          constexpr std::uint32_t kLow = 0x00007F80U;  // the exponent of what is not finite
          constexpr std::uint32_t kHigh = kLow << 16;
          if ((loaded.pair[i] & kLow) == kLow || (loaded.pair[i] & kHigh) == kHigh) broken = 1;
        }
      }
    }
#pragma unroll
    for (int mask = kWarp / 2; mask > 0; mask /= 2) broken |= shuffle_xor(broken, mask);
    return broken == 0;
  }

  /// Calls take(tile, sums) for every 8 elements of the head: sums[2 e + i] of this lane's column
  /// of eight e and element 8 tile + 2 t + i. Sums ascend over the halves of the page. Memory of
  /// keys that no column sees may hold anything.
  template <typename Take>
  GRIDMILL_DEVICE void weigh_values(const Bf16* values, const PageKeys& seen, const Take& take) {
    constexpr int kBatch = 4;  ///< tiles in flight
#pragma unroll
    for (int first = 0; first < kTiles; first += kBatch) {
      Eight loaded[kBatch][2] = {};
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        if (8 * (first + i) >= head_dim_) continue;
        const int d = 8 * (first + i) + lane_group();
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          if (!seen.touches(half)) continue;
          const int key = kHalfKeys * half + 8 * lane_part();
          loaded[i][half] = *reinterpret_cast<const Eight*>(values + d * kPagePositions + key);
        }
      }
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        if (seen.covers(half)) continue;
#pragma unroll
        for (int i = 0; i < kBatch; ++i) clear_unseen(loaded[i][half], half, seen);
      }
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        if (8 * (first + i) >= head_dim_) continue;
        float sums[4] = {};
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          multiply_32(sums, weights_[half][0], high_of(weights_[half]), loaded[i][half]);
        }
        take(first + i, sums);
      }
    }
  }

 private:
  static constexpr int kKeyTiles = kPagePositions / 8;

  /// Key of score `i` of a tile.
  GRIDMILL_DEVICE static int key_of(int tile, int i) {
    return kHalfKeys * (tile / 4) + 8 * lane_part() + 2 * (tile % 4) + i;
  }
  GRIDMILL_DEVICE static Eight high_of(const Eight (&eights)[Eights]) {
    if constexpr (Eights == 2) return eights[1];
    return Eight{};
  }
  GRIDMILL_DEVICE static void clear_unseen(Eight& loaded, int half, const PageKeys& seen) {
    const int key = kHalfKeys * half + 8 * lane_part();
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (!seen.has(key + 2 * i)) loaded.pair[i] &= 0xFFFF0000U;
      if (!seen.has(key + 2 * i + 1)) loaded.pair[i] &= 0x0000FFFFU;
    }
  }

  int head_dim_;
  Eight queries_[Pieces][Eights] = {};
  float scores_[kKeyTiles][2 * Eights] = {};
  Eight weights_[2][Eights] = {};
};

/// A row's head in the packed rows where queries wait until the result takes their place.
GRIDMILL_DEVICE std::int64_t packed_at(const AttendArgs& args, std::int64_t row, int head) {
  return (row * args.attention.heads + head) * args.attention.head_dim;
}

GRIDMILL_DEVICE const Bf16* page_of(const AttendArgs& args, SlotId slot, std::int64_t position,
                                    int value, int kv_head) {
  return reinterpret_cast<const Bf16*>(args.pages.memory) +
         head_of(args, slot, position, value, kv_head);
}

/// Elements d and d + 1 of a row's head: the result if the row has one split, else its partial
/// sums.
GRIDMILL_DEVICE void put_pair(const AttendArgs& args, std::int64_t row, int head,
                              std::int64_t split, bool whole, int d, float norm, float first,
                              float second) {
  const int head_dim = args.attention.head_dim;
  if (whole) {
    auto* out = reinterpret_cast<std::uint32_t*>(args.out.data);
    out[(packed_at(args, row, head) + d) / 2] = pair_of(first / norm, second / norm);
    return;
  }
  float* sums = args.partial_sums + partial_at(args, row, head, split) * head_dim + d;
  sums[0] = first;
  sums[1] = second;
}

GRIDMILL_DEVICE void put_softmax(const AttendArgs& args, std::int64_t row, int head,
                                 std::int64_t split, const Softmax& total) {
  float* norms = args.partial_norms + 2 * partial_at(args, row, head, split);
  norms[0] = total.max;
  norms[1] = total.norm;
}

/// Elements from one head's sums to the next's in shared memory, so that groups use other banks.
constexpr int shared_stride(int head_dim) { return head_dim + 8; }
constexpr std::size_t alone_shared_bytes(const Attention& attention) {
  return static_cast<std::size_t>(kWarps * group_size(attention)) *
         (static_cast<std::size_t>(shared_stride(attention.head_dim)) * sizeof(float) +
          sizeof(Softmax));
}

/// One row, the query heads of one group, one split: a warp a page.
template <int Pieces>
GRIDMILL_KERNEL void alone_kernel(AttendArgs args) {
  const Attention& attention = args.attention;
  const AttendPiece piece = args.alone[block_x()];
  const std::int64_t split = first_split(attention, piece.position) + block_z();
  const Visible visible = visible_in(attention, piece.position, split);
  if (visible.begin >= visible.end) return;
  const Group group = group_of(attention, block_y());
  const int head_dim = attention.head_dim;
  const int heads = group_size(attention);
  auto* sums = reinterpret_cast<float*>(shared_memory());  // [pages][heads][shared_stride]
  auto* softmaxes = reinterpret_cast<Softmax*>(sums + kWarps * heads * shared_stride(head_dim));
  const int warp = thread_index() / kWarp;
  const int column = lane_group();
  const std::int64_t page_begin = split * kSplitPositions + warp * kPagePositions;
  const PageKeys keys = keys_of(visible, page_begin);
  if (!keys.empty()) {
    const bool live = column < group.count;
    const auto* queries =
        reinterpret_cast<const Bf16*>(args.out.data) + packed_at(args, piece.row, group.first);
    PageProduct<Pieces, 1> product(head_dim);
    product.load_query(0, live ? queries + column * head_dim : nullptr);
    product.score(page_of(args, piece.slot, page_begin, 0, group.kv_head), keys);
    const Softmax part = product.weigh(0, keys, attention);
    float* own = sums + (warp * heads + column) * shared_stride(head_dim) + 2 * lane_part();
    product.weigh_values(page_of(args, piece.slot, page_begin, 1, group.kv_head), keys,
                         [&](int tile, const float(&of)[4]) {
                           if (!live) return;
                           own[8 * tile] = of[0];
                           own[8 * tile + 1] = of[1];
                         });
    if (live && lane_part() == 0) softmaxes[warp * heads + column] = part;
  }
  barrier();
  const int first_page = static_cast<int>(visible.begin % kSplitPositions / kPagePositions);
  const int last_page = static_cast<int>((visible.end - 1) % kSplitPositions / kPagePositions);
  const bool whole = attention_splits(piece.position, attention.window) == 1;
  for (int i = thread_index(); i < group.count * head_dim / 2; i += kThreads) {
    const int head = 2 * i / head_dim;
    const int d = 2 * i % head_dim;
    Softmax total;
    float low = 0.0F;
    float high = 0.0F;
    for (int page = first_page; page <= last_page; ++page) {
      const float* of = sums + (page * heads + head) * shared_stride(head_dim) + d;
      const Rescale scale = join_softmax(total, softmaxes[page * heads + head]);
      low = join_sums(low, of[0], scale);
      high = join_sums(high, of[1], scale);
    }
    const float factor = whole ? add_sink(attention, group.first + head, total) : 1.0F;
    put_pair(args, piece.row, group.first + head, block_z(), whole, d, total.norm, low * factor,
             high * factor);
    if (d == 0 && !whole) put_softmax(args, piece.row, group.first + head, block_z(), total);
  }
}

/// Columns of a warp that takes page after page: more, and their sums do not fit into registers.
constexpr int tile_eights(int head_dim) { return head_dim > 128 ? 1 : 2; }
constexpr int tile_columns(int head_dim) { return kWarps * 8 * tile_eights(head_dim); }
/// Thread blocks that share a tile's columns: one, unless a row has more than a thread block takes.
constexpr int column_blocks(const Attention& attention) {
  const int per_kv = attention.heads / attention.kv_heads;
  const int most = tile_columns(attention.head_dim);
  return (per_kv + most - 1) / most;
}

/// A tile of rows, the query heads of one kv head, one split of its first row: a warp some columns.
template <int Pieces, int Eights>
GRIDMILL_KERNEL void tile_kernel(AttendArgs args) {
  using Product = PageProduct<Pieces, Eights>;
  const Attention& attention = args.attention;
  const int head_dim = attention.head_dim;
  const AttendPiece piece = args.tiles[block_x()];
  const int per_kv = attention.heads / attention.kv_heads;
  const int kv_head = block_y() / column_blocks(attention);
  const int warp = block_y() % column_blocks(attention) * kWarps + thread_index() / kWarp;
  const int first_column = warp * 8 * Eights;
  const int columns = piece.rows * per_kv;
  if (first_column >= columns) return;
  const std::int64_t split = first_split(attention, piece.position) + block_z();
  // Keys that any of the warp's columns sees.
  const int behind = first_column + 8 * Eights;
  const int last_column = (behind < columns ? behind : columns) - 1;
  const auto visible_of = [&](int column) {
    return visible_in(attention, piece.position + column / per_kv, split);
  };
  const Visible seen{visible_of(first_column).begin, visible_of(last_column).end};
  if (seen.begin >= seen.end) return;

  Product product(head_dim);
  Visible visible[Eights];
  Softmax total[Eights];
  float sums[Product::kTiles][2 * Eights] = {};
#pragma unroll
  for (int eight = 0; eight < Eights; ++eight) {
    const int column = first_column + 8 * eight + lane_group();
    const int row = column / per_kv;
    const bool live = column < columns;
    visible[eight] = live ? visible_of(column) : Visible{0, 0};
    if (visible[eight].begin >= visible[eight].end) continue;
    const int head = kv_head * per_kv + column % per_kv;
    product.load_query(eight, reinterpret_cast<const Bf16*>(args.out.data) +
                                  packed_at(args, piece.row + row, head));
  }
  for (std::int64_t page = seen.begin / kPagePositions * kPagePositions; page < seen.end;
       page += kPagePositions) {
    const PageKeys any = keys_of(seen, page);
    product.score(page_of(args, piece.slot, page, 0, kv_head), any);
    Rescale scale[Eights];
    bool sees[Eights];
#pragma unroll
    for (int eight = 0; eight < Eights; ++eight) {
      const PageKeys keys = keys_of(visible[eight], page);
      const Softmax part = product.weigh(eight, keys, attention);
      sees[eight] = !keys.empty();
      if (sees[eight]) scale[eight] = join_softmax(total[eight], part);
    }
    // 0 times a value that is not finite is not 0: then columns are computed one at a time.
    const Bf16* values = page_of(args, piece.slot, page, 1, kv_head);
    const bool alike = keys_of(visible_of(first_column), page).end >= any.end &&
                       keys_of(visible_of(last_column), page).begin <= any.begin;
    const bool apart = !alike && !product.are_finite(values, any);
    const int turns = apart ? 8 * Eights : 1;
#pragma unroll 1
    for (int turn = 0; turn < turns; ++turn) {
      const PageKeys keys = apart ? keys_of(visible_of(first_column + turn), page) : any;
      product.weigh_values(values, keys, [&](int tile, const float(&of)[4]) {
#pragma unroll
        for (int i = 0; i < 2 * Eights; ++i) {
          if (!sees[i / 2] || (apart && 8 * (i / 2) + lane_group() != turn)) continue;
          sums[tile][i] = join_sums(sums[tile][i], of[i], scale[i / 2]);
        }
      });
    }
  }

#pragma unroll
  for (int eight = 0; eight < Eights; ++eight) {
    if (visible[eight].begin >= visible[eight].end) continue;
    const int column = first_column + 8 * eight + lane_group();
    const int row = column / per_kv;
    const std::int32_t position = piece.position + row;
    const int head = kv_head * per_kv + column % per_kv;
    const std::int64_t own_split = split - first_split(attention, position);
    const bool whole = attention_splits(position, attention.window) == 1;
    const float factor = whole ? add_sink(attention, head, total[eight]) : 1.0F;
#pragma unroll
    for (int tile = 0; tile < Product::kTiles; ++tile) {
      if (8 * tile >= head_dim) continue;
      put_pair(args, piece.row + row, head, own_split, whole, 8 * tile + 2 * lane_part(),
               total[eight].norm, sums[tile][2 * eight] * factor,
               sums[tile][2 * eight + 1] * factor);
    }
    if (lane_part() == 0 && !whole) {
      put_softmax(args, piece.row + row, head, own_split, total[eight]);
    }
  }
}

template <int Pieces>
void launch_pieces(LaunchStream stream, const AttendArgs& args) {
  const Attention& attention = args.attention;
  const auto splits = static_cast<unsigned>(args.splits);
  launch(stream, alone_kernel<Pieces>,
         {static_cast<unsigned>(args.alone_count), static_cast<unsigned>(group_count(attention)),
          splits},
         kThreads, alone_shared_bytes(attention), args);
  // With a window, a tile's last row may end a split later than its first.
  launch(stream, tile_kernel<Pieces, tile_eights(32 * Pieces)>,
         {static_cast<unsigned>(args.tile_count),
          static_cast<unsigned>(attention.kv_heads * column_blocks(attention)),
          splits + (attention.window > 0 ? 1U : 0U)},
         kThreads, 0, args);
}

}  // namespace

int attention_tile(const Attention& attention) {
  const int per_kv = attention.heads / attention.kv_heads;
  const int rows = tile_columns(attention.head_dim) / per_kv;
  return rows > 1 ? rows : 1;
}

void launch_attend_tensor(LaunchStream stream, const AttendArgs& args) {
  const int head_dim = args.attention.head_dim;
  if (head_dim <= 64) return launch_pieces<2>(stream, args);
  if (head_dim <= 128) return launch_pieces<4>(stream, args);
  launch_pieces<8>(stream, args);
}

}  // namespace gridmill::cuda
