// C of the mLSTM and the sums of h: a strip of 32 columns of C stays in registers while the tokens
// of a span pass. What they are multiplied by comes through shared memory, some tokens at a time,
// while the tokens before are multiplied. n, which needs no strip, has a thread block of its own.
#include <cuda_platform.hpp>

#include "kernels/cuda/mlstm.cuh"
#include "kernels/cuda/mlstm_n.cuh"
#include "kernels/cuda/reduce.cuh"

namespace gridmill::cuda {

namespace {

constexpr int kStrip = 32;  ///< columns of C
constexpr int kThreads = 128;
constexpr int kWarps = kThreads / kWarp;
constexpr int kHalf = kWarp / 2;
static_assert(kMlstmParts == 2 * kWarps, "half a warp has a part of the rows of C");

constexpr int strips_of(const Mlstm& mlstm) { return (mlstm.v_dim + kStrip - 1) / kStrip; }

/// Four neighbouring elements of a part.
struct alignas(16) Four {
  float x[4];
};

/// Shared memory of a thread block. Tiles of tokens alternate between its two halves.
template <int Rows>
struct Staged {
  static constexpr int kTokens = Rows > 32 ? 4 : 8;
  static constexpr int kPart = Rows + 4;  ///< the parts of a warp's halves lie in other banks
  struct Token {
    float parts[2 * kMlstmParts][kPart];  ///< of the query, then of the key
    MlstmGates gates;
  };
  struct Tile {
    Token tokens[kTokens];
    float v[kTokens][kStrip];
    float sums[kTokens][kWarps][kStrip];  ///< of h, of two parts
  };
  Tile tiles[2];
};

/// A strip of C of one span and head. Half warp p holds the rows of part p, a lane two columns.
/// `Whole`: parts have as many rows as they have room.
template <int Rows, bool Whole>
class Cell {
 public:
  using Shared = Staged<Rows>;
  static constexpr int kTokens = Shared::kTokens;

  GRIDMILL_DEVICE explicit Cell(const MlstmArgs& args)
      : args_(args),
        shared_(*reinterpret_cast<Shared*>(shared_memory())),
        span_(args.spans[block_x()]),
        head_(block_y()),
        warp_(thread_index() / kWarp),
        lane_(thread_index() % kWarp),
        part_(thread_index() / kHalf),
        rows_(Whole ? Rows : (args.mlstm.qk_dim + kMlstmParts - 1) / kMlstmParts),
        count_(rows_of(part_)),
        stride_(args.mlstm.heads * (3 * kMlstmParts * Rows + 4)) {
    const int thread = thread_index();
    const int column = block_z() * kStrip + lane_;
    columns_[0] = column;
    columns_[1] = column ^ kHalf;
    float* const first = factors_of(args, span_.row, head_, Rows).q;
    factors_ = first + std::int64_t{thread / kShare} * stride_ + thread % kShare * 4;
    gates_ = first + std::int64_t{thread} * stride_ + 3 * kMlstmParts * Rows;
    value_ = args.inputs.data + (span_.row + warp_) * args.inputs.stride +
             columns_of(args.mlstm).v + head_ * args.mlstm.v_dim + column;
    h_ = args.h.data + (span_.row + warp_) * args.h.stride + head_ * args.mlstm.v_dim + column;
  }

  GRIDMILL_DEVICE void run() {
    const int tiles = (span_.tokens + kTokens - 1) / kTokens;
    if (tiles == 0) return;
    stage(0);
    load_state();
    for (int tile = 0; tile < tiles; ++tile) {
      arrive(tile);
      barrier();
      if (tile + 1 < tiles) stage(tile + 1);
      if (tile > 0) join(tile - 1);
      const int tokens = tokens_of(tile);
      int t = 0;
      for (; t + kTogether <= tokens; t += kTogether) advance<kTogether>(tile, t);
      for (; t < tokens; ++t) advance<1>(tile, t);
    }
    barrier();
    join(tiles - 1);
    store_state();
  }

 private:
  /// Tokens that go through C together and hide each other's latency.
  static constexpr int kTogether = Rows > 32 ? 2 : 4;
  static constexpr int kFours = 2 * kMlstmParts * Rows / 4;  ///< of queries and keys of a token
  static constexpr int kShare = kFours < kThreads ? kFours : kThreads;
  static constexpr int kRounds = kFours * kTokens / kThreads;
  static constexpr int kThreadTokens = kTokens / kWarps;  ///< whose values and sums a thread moves

  GRIDMILL_DEVICE int tokens_of(int tile) const {
    const int left = span_.tokens - tile * kTokens;
    return left < kTokens ? left : kTokens;
  }
  GRIDMILL_DEVICE int rows_of(int part) const {
    const int left = args_.mlstm.qk_dim - part * rows_;
    return left < rows_ ? left : rows_;
  }
  GRIDMILL_DEVICE bool has(int column) const { return column < args_.mlstm.v_dim; }

  /// Starts to bring what the next tile needs. Tiles come one after the other.
  GRIDMILL_DEVICE void stage(int tile) {
    typename Shared::Tile& to = shared_.tiles[tile % 2];
    const int tokens = tokens_of(tile);
    const int thread = thread_index();
    if (tokens == kTokens) {
#pragma unroll
      for (int i = 0; i < kRounds; ++i) stage_four(to, i);
    } else {
#pragma unroll 1
      for (int i = 0; i < kRounds; ++i) {
        if (thread / kShare + i * kThreads / kFours < tokens) stage_four(to, i);
      }
    }
    if (thread < tokens) {
      copy_async(reinterpret_cast<std::byte*>(&to.tokens[thread].gates),
                 reinterpret_cast<const std::byte*>(gates_), true);
    }
    copy_async_commit();
#pragma unroll
    for (int i = 0; i < kThreadTokens; ++i) {
      const int t = i * kWarps;
      const bool inside = has(columns_[0]) && warp_ + t < tokens;
      values_[i] = inside ? value_[t * args_.inputs.stride] : 0.0F;
    }
    factors_ += kTokens * stride_;
    gates_ += kTokens * stride_;
    value_ += kTokens * args_.inputs.stride;
  }

  GRIDMILL_DEVICE void stage_four(typename Shared::Tile& to, int round) {
    constexpr int kPartFours = Rows / 4;
    const int later = round * kThreads / kFours;   // tokens
    const int behind = round * kThreads % kFours;  // fours
    const int part = thread_index() % kShare / kPartFours + behind / kPartFours;
    const int four = thread_index() % kPartFours;
    copy_async(reinterpret_cast<std::byte*>(
                   &to.tokens[thread_index() / kShare + later].parts[part][four * 4]),
               reinterpret_cast<const std::byte*>(factors_ + later * stride_ + behind * 4), true);
  }

  /// The end of stage(), but for the barrier.
  GRIDMILL_DEVICE void arrive(int tile) {
#pragma unroll
    for (int i = 0; i < kThreadTokens; ++i) {
      shared_.tiles[tile % 2].v[warp_ + i * kWarps][lane_] = values_[i];
    }
    copy_async_wait<0>();
  }

  /// Moves a part of C on by some tokens, and sums its share of their h.
  template <int Tokens>
  GRIDMILL_DEVICE void advance(int tile, int first) {
    typename Shared::Tile& at = shared_.tiles[tile % 2];
    float f[Tokens];
    float v[Tokens][2];
    float h[Tokens][2] = {};
#pragma unroll
    for (int t = 0; t < Tokens; ++t) {
      f[t] = at.tokens[first + t].gates.forget;
      v[t][0] = at.v[first + t][lane_];
      v[t][1] = at.v[first + t][lane_ ^ kHalf];
    }
#pragma unroll
    for (int i = 0; i < Rows; i += 4) {
      Four q[Tokens];
      Four k[Tokens];
#pragma unroll
      for (int t = 0; t < Tokens; ++t) {
        q[t] = *reinterpret_cast<const Four*>(&at.tokens[first + t].parts[part_][i]);
        k[t] = *reinterpret_cast<const Four*>(&at.tokens[first + t].parts[kMlstmParts + part_][i]);
      }
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        if (!Whole && i + j >= count_) continue;
#pragma unroll
        for (int t = 0; t < Tokens; ++t) {
#pragma unroll
          for (int b = 0; b < 2; ++b) {
            c_[i + j][b] = fmaf(f[t], c_[i + j][b], k[t].x[j] * v[t][b]);
            h[t][b] = fmaf(q[t].x[j], c_[i + j][b], h[t][b]);
          }
        }
      }
    }
    // A lane joins its part with that of the other half, for the first of its columns, which is the
    // second of the lane there.
#pragma unroll
    for (int t = 0; t < Tokens; ++t) {
      at.sums[first + t][warp_][lane_] = h[t][0] + shuffle_xor(h[t][1], kHalf);
    }
  }

  /// Joins the sums of h of a tile. Tiles come one after the other.
  GRIDMILL_DEVICE void join(int tile) {
    const typename Shared::Tile& at = shared_.tiles[tile % 2];
    const int tokens = tokens_of(tile);
    float joined[kThreadTokens];
#pragma unroll
    for (int i = 0; i < kThreadTokens; ++i) {
      const float(&sums)[kWarps][kStrip] = at.sums[warp_ + i * kWarps];
      joined[i] = (sums[0][lane_] + sums[1][lane_]) + (sums[2][lane_] + sums[3][lane_]);
    }
#pragma unroll
    for (int i = 0; i < kThreadTokens; ++i) {
      const int t = i * kWarps;
      if (has(columns_[0]) && warp_ + t < tokens) h_[t * args_.h.stride] = joined[i];
    }
    h_ += kTokens * args_.h.stride;
  }

  /// The first row of the part.
  GRIDMILL_DEVICE float* state_c() const {
    const std::int64_t head = state_head(args_.state, span_.slot, head_);
    return args_.state.c + (head * args_.mlstm.qk_dim + part_ * rows_) * args_.mlstm.v_dim;
  }

  GRIDMILL_DEVICE void load_state() {
    const float* c[2] = {state_c() + columns_[0], state_c() + columns_[1]};
#pragma unroll
    for (int i = 0; i < Rows; ++i) {
#pragma unroll
      for (int b = 0; b < 2; ++b) {
        c_[i][b] = (Whole || i < count_) && has(columns_[b]) ? *c[b] : 0.0F;
        c[b] += args_.mlstm.v_dim;
      }
    }
  }

  GRIDMILL_DEVICE void store_state() {
    float* c[2] = {state_c() + columns_[0], state_c() + columns_[1]};
#pragma unroll
    for (int i = 0; i < Rows; ++i) {
#pragma unroll
      for (int b = 0; b < 2; ++b) {
        if ((Whole || i < count_) && has(columns_[b])) *c[b] = c_[i][b];
        c[b] += args_.mlstm.v_dim;
      }
    }
  }

  const MlstmArgs& args_;
  Shared& shared_;
  const TokenSpan span_;
  const int head_;
  const int warp_;
  const int lane_;
  const int part_;
  const int rows_;    ///< of every part, but for the last ones
  const int count_;   ///< of this part, not positive if it has none
  const int stride_;  ///< from the factors of a token to those of the next
  int columns_[2];    ///< of C; the first is also the one whose values and sums the thread moves
  const float* factors_;  ///< the first four that the thread brings for the next tile
  const float* gates_;    ///< the gates that it brings
  const float* value_;    ///< the first value that it brings
  float* h_;              ///< the first sum that it joins, of the tile before
  float c_[Rows][2];
  float values_[kThreadTokens] = {};
};

/// Thread blocks that a multiprocessor has registers for: without a word about it nvcc loads so
/// late that a warp which is alone on its scheduler waits for every load.
template <int Rows, bool Whole>
constexpr int kResident = Rows < 32 || (Whole && Rows == 32) ? 3 : 2;

template <int Rows, bool Whole>
GRIDMILL_KERNEL void GRIDMILL_BOUNDS(kThreads, (kResident<Rows, Whole>))
    cell_kernel(MlstmArgs args) {
  const int strips = strips_of(args.mlstm);
  if (block_z() < strips) {
    Cell<Rows, Whole>(args).run();
  } else {
    advance_n<Rows, kThreads>(args, args.spans[block_x()], block_y());
  }
}

template <int Rows>
void launch_cell(LaunchStream stream, const MlstmArgs& args) {
  static_assert(sizeof(Staged<Rows>) <= std::size_t{48} << 10);
  const LaunchGrid grid{static_cast<unsigned>(args.span_count),
                        static_cast<unsigned>(args.mlstm.heads),
                        static_cast<unsigned>(strips_of(args.mlstm) + 1)};
  auto* kernel =
      args.mlstm.qk_dim == kMlstmParts * Rows ? cell_kernel<Rows, true> : cell_kernel<Rows, false>;
  launch(stream, kernel, grid, kThreads, sizeof(Staged<Rows>), args);
}

}  // namespace

void launch_mlstm_cell(LaunchStream stream, const MlstmArgs& args) {
  const int room = mlstm_part_room(args.mlstm.qk_dim);
  auto* const launch_with = room == 8    ? launch_cell<8>
                            : room == 16 ? launch_cell<16>
                            : room == 32 ? launch_cell<32>
                                         : launch_cell<kMostQkDim / kMlstmParts>;
  launch_with(stream, args);
}

}  // namespace gridmill::cuda
