// Matrix products (docs/numerics.md, section 2).
//
// Contract: out[row][o] is one chain of fused multiply-adds over ascending k (per pair of bf16 the
// odd element first); lanes run across outputs, so no tile size or vector width can change a bit.
// Row-parallel matrices have 8 chains that join in a binary tree.
//
// Weights: panels of 48 outputs, [units of k][48]; a unit is one fp32 input or a pair of bf16
// inputs, 192 bytes for a panel in both cases. Inputs: see packed.hpp.
//
// Blocking:
//  * Register tile: the rows of a block (1 to 8) by 3 vectors: 24 accumulators + 3 weight vectors +
//    1 broadcast of 32 registers. vdpbf16ps takes 4 to 6 cycles and one or two issue a cycle, so 12
//    chains are enough from 4 rows on; below that memory is the limit.
//    AVX2 has 16 registers of half the width: 4 rows by 1 vector (8 + 4 + 2).
//  * k: sub-panels of at most 768 units = 144 KiB stay in L2 while all row blocks pass over them;
//    accumulators rest in a [rows][48] buffer between sub-panels. A unit of 8 rows takes 192 bytes
//    in 24 cycles, a quarter of L2's rate, and the core prefetches them itself. Sub-panels of 24
//    KiB in L1 were slower by 4 %: each begins and ends with 24 accumulators from and to memory.
//    AVX2, one vector wide, takes twice as much a cycle: 128 units, from L1.
//  * Rows: up to 256 a pass, fewer if their inputs would take more than 512 KiB of L2.
//  * Prefetch, one row block (decode): weights come from memory once, so the stream must not pause.
//    Up to 5 rows a core waits for memory: lines go straight to L1, 8 KiB = 43 units ahead, about
//    the 250 ns that a line takes at full bandwidth. From 6 rows on products take as long as
//    memory, and the few lines that L1 can await at a time (about 24 of 64 bytes in 100 ns: 15
//    GB/s) would limit both: lines go to L2, 16 KiB ahead, and L1 fetches them from there.
//  * Prefetch, more row blocks: every block fetches its equal share of the next sub-panel, to L2.
//
// Figures wanted (one thread): 88 % of read bandwidth at 1 to 4 rows, 80 % at 8, 88 % of the bf16
// peak from 32 rows on. Measured (Zen 4, docs/performance/cpu.md): 88 to 94, 85 and 95 %.
#pragma once

#include "kernels/cpu/blocking.hpp"
#include "kernels/cpu/coded.hpp"
#include "kernels/cpu/math.hpp"

namespace gridmill::cpu::GRIDMILL_CPU_TARGET {

constexpr std::int64_t kSubPanelUnits = kWide ? 768 : 128;
/// Part of one chain: `units` units of k for one block of rows and one panel.
template <class Steps>
struct TileArgs {
  const typename Steps::Unit* x;
  std::int64_t height;  ///< rows of the block
  const typename Steps::Unit* w;
  std::int64_t units;
  float* sums;              ///< [rows][48]
  bool fresh;               ///< start the chain, else go on from `sums`
  int joins;                ///< finished sub-trees on the left that the chain ends by joining,
  std::int64_t level;       ///< floats from one to the next, leftwards from `sums`
  const std::byte* ahead;   ///< what to prefetch meanwhile,
  std::int64_t ahead_step;  ///< bytes a unit
};

/// Ends a tile: adds its sums to `joins` sub-trees on the left, and stores the result there.
template <int R, int V>
GRIDMILL_SIMD void join_and_store(float* sums, std::int64_t level, int joins, F32x16 (&acc)[R][V]) {
  float* out = sums;
  for (int join = 0; join < joins; ++join) {
    out -= level;
    GRIDMILL_UNROLL
    for (int r = 0; r < R; ++r) {
      GRIDMILL_UNROLL
      for (int v = 0; v < V; ++v) {
        acc[r][v] = load(out + r * kPanelOutputs + 16 * v) + acc[r][v];
      }
    }
  }
  GRIDMILL_UNROLL
  for (int r = 0; r < R; ++r) {
    GRIDMILL_UNROLL
    for (int v = 0; v < V; ++v) store(out + r * kPanelOutputs + 16 * v, acc[r][v]);
  }
}

/// Rows R, vectors V, prefetched lines a unit P, into cache level L.
template <class Steps, int R, int V, int P, int L>
[[gnu::noinline]] void tile(const TileArgs<Steps>& args) {
  F32x16 acc[R][V];
  GRIDMILL_UNROLL
  for (int r = 0; r < R; ++r) {
    GRIDMILL_UNROLL
    for (int v = 0; v < V; ++v) {
      acc[r][v] = args.fresh ? zero() : load(args.sums + r * kPanelOutputs + 16 * v);
    }
  }
  const auto* x = args.x;
  const auto* w = args.w;
  const std::byte* ahead = args.ahead;
  const std::int64_t height = args.height;
  const std::int64_t ahead_step = args.ahead_step;
  for (std::int64_t unit = 0; unit < args.units; ++unit) {
    GRIDMILL_UNROLL
    for (int p = 0; p < P; ++p) prefetch<L>(ahead + 64 * p);
    typename Steps::Vector weights[V];
    GRIDMILL_UNROLL
    for (int v = 0; v < V; ++v) weights[v] = Steps::load(w + 16 * v);
    GRIDMILL_UNROLL
    for (int r = 0; r < R; ++r) {
      const typename Steps::Vector input = Steps::splat(x + r);
      GRIDMILL_UNROLL
      for (int v = 0; v < V; ++v) acc[r][v] = Steps::step(input, weights[v], acc[r][v]);
    }
    x += height;
    w += kPanelOutputs;
    ahead += ahead_step;
  }
  join_and_store<R, V>(args.sums, args.level, args.joins, acc);
}

#if GRIDMILL_CPU_NATIVE_BF16 == 0
/// The same where a pair of bf16 is two fma: inputs are widened once a piece, not in every step.
template <int R, int P, int L>
[[gnu::noinline]] void wide_tile(const TileArgs<Bf16Steps>& args) {
  constexpr std::int64_t kPieceUnits = 256;
  F32x16 acc[R][kVectors];
  GRIDMILL_UNROLL
  for (int r = 0; r < R; ++r) {
    GRIDMILL_UNROLL
    for (int v = 0; v < kVectors; ++v) {
      acc[r][v] = args.fresh ? zero() : load(args.sums + r * kPanelOutputs + 16 * v);
    }
  }
  alignas(64) float odd[kPieceUnits * R + 16];
  alignas(64) float even[kPieceUnits * R + 16];
  const std::uint32_t* x = args.x;
  const std::uint32_t* w = args.w;
  const std::byte* ahead = args.ahead;
  const std::int64_t ahead_step = args.ahead_step;
  for (std::int64_t first = 0; first < args.units; first += kPieceUnits) {
    const std::int64_t count = smaller(kPieceUnits, args.units - first);
    const std::int64_t words = count * R;
    for (std::int64_t i = 0; i < words; i += 16) {
      const int left = static_cast<int>(smaller<std::int64_t>(16, words - i));
      const Pairs pairs =
          widen_words(bits_of(load_first(reinterpret_cast<const float*>(x + i), left)));
      store(odd + i, pairs.odd);
      store(even + i, pairs.even);
    }
    x += words;
    for (std::int64_t unit = 0; unit < count; ++unit) {
      GRIDMILL_UNROLL
      for (int p = 0; p < P; ++p) prefetch<L>(ahead + 64 * p);
      F32x16 weights[kVectors];
      GRIDMILL_UNROLL
      for (int v = 0; v < kVectors; ++v) weights[v] = load_odd_halves(w + 16 * v);
      GRIDMILL_UNROLL
      for (int r = 0; r < R; ++r) {
        const F32x16 input = splat(odd[unit * R + r]);
        GRIDMILL_UNROLL
        for (int v = 0; v < kVectors; ++v) acc[r][v] = fma(input, weights[v], acc[r][v]);
      }
      GRIDMILL_UNROLL
      for (int v = 0; v < kVectors; ++v) weights[v] = load_even_halves(w + 16 * v);
      GRIDMILL_UNROLL
      for (int r = 0; r < R; ++r) {
        const F32x16 input = splat(even[unit * R + r]);
        GRIDMILL_UNROLL
        for (int v = 0; v < kVectors; ++v) acc[r][v] = fma(input, weights[v], acc[r][v]);
      }
      w += kPanelOutputs;
      ahead += ahead_step;
    }
  }
  join_and_store<R, kVectors>(args.sums, args.level, args.joins, acc);
}
#endif
/// One block of rows by a whole panel.
template <class Steps, int P, int L>
void block_tile(TileArgs<Steps> args) {
  if constexpr (kWide && Steps::kWidened) {
    switch (args.height) {
      case 1:
        return wide_tile<1, P, L>(args);
      case 2:
        return wide_tile<2, P, L>(args);
      case 3:
        return wide_tile<3, P, L>(args);
      case 4:
        return wide_tile<4, P, L>(args);
      case 5:
        return wide_tile<5, P, L>(args);
      case 6:
        return wide_tile<6, P, L>(args);
      case 7:
        return wide_tile<7, P, L>(args);
      default:
        return wide_tile<8, P, L>(args);
    }
  } else if constexpr (kWide) {
    switch (args.height) {
      case 1:
        return tile<Steps, 1, kVectors, P, L>(args);
      case 2:
        return tile<Steps, 2, kVectors, P, L>(args);
      case 3:
        return tile<Steps, 3, kVectors, P, L>(args);
      case 4:
        return tile<Steps, 4, kVectors, P, L>(args);
      case 5:
        return tile<Steps, 5, kVectors, P, L>(args);
      case 6:
        return tile<Steps, 6, kVectors, P, L>(args);
      case 7:
        return tile<Steps, 7, kVectors, P, L>(args);
      default:
        return tile<Steps, 8, kVectors, P, L>(args);
    }
  } else {
    for (std::int64_t r = 0; r < args.height; r += 4) {
      TileArgs<Steps> part = args;
      part.x += r;
      for (int v = 0; v < kVectors; ++v) {
        part.w = args.w + 16 * v;
        part.sums = args.sums + r * kPanelOutputs + 16 * v;
        switch (args.height - r) {
          case 1:
            tile<Steps, 1, 1, P, L>(part);
            break;
          case 2:
            tile<Steps, 2, 1, P, L>(part);
            break;
          case 3:
            tile<Steps, 3, 1, P, L>(part);
            break;
          default:
            tile<Steps, 4, 1, P, L>(part);
        }
      }
    }
  }
}

/// Units [first, first + count) of k, that chain's place, and how many sub-trees it joins.
struct Chain {
  std::int64_t first, count;
  float* sums;  ///< [rows][48]
  int joins;    ///< sub-trees of the same size, leftwards from `sums`; the result goes to the last
};

/// One chain for the rows of a chunk.
template <class Steps>
void chain_product(const PackedRows& x, const RowChunk& chunk, const std::byte* panel,
                   const Chain& chain) {
  using Unit = typename Steps::Unit;
  const std::int64_t x_units = units_of<Steps>(x.inputs);
  const std::int64_t blocks = (chunk.rows + kBlockRows - 1) / kBlockRows;
  const auto* w = reinterpret_cast<const Unit*>(panel) + chain.first * kPanelOutputs;
  const std::int64_t units = chain.count;
  const std::int64_t parts =
      blocks == 1 ? 1 : larger<std::int64_t>(1, (units + kSubPanelUnits - 1) / kSubPanelUnits);
  for (std::int64_t part = 0; part < parts; ++part) {
    const std::int64_t begin = units * part / parts;
    const std::int64_t end = units * (part + 1) / parts;
    const std::byte* next = reinterpret_cast<const std::byte*>(w + end * kPanelOutputs);
    const std::int64_t share = (kUnitBytes + blocks - 1) / blocks;
    for (std::int64_t block = 0; block < blocks; ++block) {
      const std::int64_t row = chunk.first + block * kBlockRows;
      const std::int64_t height = smaller<std::int64_t>(kBlockRows, x.rows - row);
      TileArgs<Steps> args{};
      args.x =
          reinterpret_cast<const Unit*>(x.data) + row * x_units + (chain.first + begin) * height;
      args.height = height;
      args.w = w + begin * kPanelOutputs;
      args.units = end - begin;
      args.sums = chain.sums + block * kBlockRows * kPanelOutputs;
      args.fresh = part == 0;
      args.joins = part + 1 == parts ? chain.joins : 0;
      args.level = chunk.rows * kPanelOutputs;
      if (blocks == 1) {
        const auto* here = reinterpret_cast<const std::byte*>(args.w);
        args.ahead_step = kUnitBytes;
        if (height <= kNearRows) {
          args.ahead = here + kNearAhead;
          block_tile<Steps, 3, 1>(args);
        } else {
          args.ahead = here + kFarAhead;
          block_tile<Steps, 3, 2>(args);
        }
      } else {
        args.ahead = next + block * share * (end - begin);
        args.ahead_step = share;
        if (share > 64) {
          block_tile<Steps, 2, 2>(args);
        } else {
          block_tile<Steps, 1, 2>(args);
        }
      }
    }
  }
}

/// Chain `index` of several.
template <class Steps>
void block_product(const PackedRows& x, const RowChunk& chunk, const std::byte* panel,
                   const ChainView& chains, std::int64_t index, float* sums, int joins) {
  if constexpr (Steps::kCoded) {
    coded_chain<Steps>(x, chunk, panel, chains, index, sums, joins);
  } else {
    const std::int64_t first = smaller(x.inputs, index * chains.inputs);
    const std::int64_t last = smaller(x.inputs, first + chains.inputs);
    chain_product<Steps>(x, chunk, panel,
                         {first / Steps::kInputs, units_of<Steps>(last - first), sums, joins});
  }
}

/// Every chain of one panel, joined: sums [rows][48]. Room for 3 more of them follows.
template <class Steps>
void panel_product(const PackedRows& x, const RowChunk& chunk, const std::byte* panel,
                   const ChainView& chains, float* sums) {
  if (chains.count == 1) {
    if constexpr (Steps::kCoded) {
      return coded_chain<Steps>(x, chunk, panel, chains, 0, sums, 0);
    } else {
      return chain_product<Steps>(x, chunk, panel, {0, units_of<Steps>(x.inputs), sums, 0});
    }
  }
  // A binary counter: level d holds the sum of a finished sub-tree of 2^n chains.
  int level = 0;
  for (int chain = 0; chain < chains.count; ++chain) {
    const int joins = __builtin_ctz(~static_cast<unsigned>(chain));
    float* chain_sums = sums + level * chunk.rows * kPanelOutputs;
    // An empty chain takes part with its +0.
    block_product<Steps>(x, chunk, panel, chains, chain, chain_sums, joins);
    level += 1 - joins;
  }
}

GRIDMILL_SIMD F32x16 with_bias(F32x16 y, const ConstDeviceVector& bias, std::int64_t column,
                               int count) {
  return bias.size == 0 ? y : y + load_first(bias.data + column, count);
}

inline void plain_epilogue(const ProductArgs& args, const RowChunk& chunk, std::int64_t panel,
                           const float* sums) {
  const std::int64_t first = panel * kPanelOutputs;
  for (std::int64_t r = 0; r < chunk.rows; ++r) {
    float* out = args.out.data + (chunk.first + r) * args.out.stride;
    for (int v = 0; v < kVectors; ++v) {
      const std::int64_t column = first + 16 * v;
      const int count = static_cast<int>(smaller<std::int64_t>(16, args.outputs - column));
      if (count <= 0) break;
      F32x16 y = with_bias(load(sums + r * kPanelOutputs + 16 * v), args.bias, column, count);
      y = soft_cap(y, args.soft_cap);
      if (args.accumulate) y = load_first(out + column, count) + y;
      store_first(out + column, y, count);
    }
  }
}

template <class Steps>
void packed_epilogue(const ProductArgs& args, const RowChunk& chunk, std::int64_t panel,
                     const float* sums, const float* up_sums) {
  const std::int64_t first = panel * kPanelOutputs;
  const std::int64_t columns = smaller<std::int64_t>(kPanelOutputs, args.outputs - first);
  alignas(64) float values[kPanelOutputs];
  for (std::int64_t r = 0; r < chunk.rows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      const int count = static_cast<int>(smaller<std::int64_t>(16, columns - 16 * v));
      if (count <= 0) break;
      const std::int64_t column = first + 16 * v;
      const std::int64_t at = r * kPanelOutputs + 16 * v;
      F32x16 y = activate(args.activation, with_bias(load(sums + at), args.bias, column, count));
      if (up_sums != nullptr) {
        y = y * with_bias(load(up_sums + at), args.bias, args.outputs + column, count);
      }
      store(values + 16 * v, y);
    }
    write_row(packed_row<typename Steps::Packed>(args.packed_out, chunk.first + r), first, values,
              columns);
  }
}

/// Rows of a pass: their inputs take at most 512 KiB.
template <class Steps>
std::int64_t rows_a_pass(std::int64_t inputs) {
  std::int64_t row_bytes = inputs;  // codes
  if constexpr (!Steps::kCoded) row_bytes = 4 * units_of<Steps>(inputs);
  row_bytes = larger<std::int64_t>(4, row_bytes);
  const std::int64_t rows = (std::int64_t{512} << 10) / row_bytes / kBlockRows * kBlockRows;
  return smaller<std::int64_t>(kChunkRows, larger<std::int64_t>(64, rows));
}

template <class Steps>
void product(const ProductArgs& args, const Worker& worker) {
  const std::int64_t panels = (args.outputs + kPanelOutputs - 1) / kPanelOutputs;
  const Share mine = share_of(panels, worker);
  const std::int64_t pass = rows_a_pass<Steps>(args.x.inputs);
  const bool gated = args.epilogue == Epilogue::gated;
  for (std::int64_t row = 0; row < args.x.rows; row += pass) {
    const RowChunk chunk{row, smaller(pass, args.x.rows - row)};
    auto* sums = reinterpret_cast<float*>(worker.scratch);
    float* second = sums + chunk.rows * kPanelOutputs;
    for (std::int64_t panel = mine.first; panel < mine.end; ++panel) {
      if (gated) {
        panel_product<Steps>(args.x, chunk, panel_at(args.weights, 2 * panel), args.chains, sums);
        panel_product<Steps>(args.x, chunk, panel_at(args.weights, 2 * panel + 1), args.chains,
                             second);
        packed_epilogue<Steps>(args, chunk, panel, sums, second);
        continue;
      }
      panel_product<Steps>(args.x, chunk, panel_at(args.weights, panel), args.chains, sums);
      if (args.epilogue == Epilogue::activated) {
        packed_epilogue<Steps>(args, chunk, panel, sums, nullptr);
      } else {
        plain_epilogue(args, chunk, panel, sums);
      }
    }
  }
}

/// Finishes the tree of a row-parallel product over the ranks' sub-trees.
inline void join_partials(const JoinArgs& args, const Worker& worker) {
  const std::int64_t columns = args.out.columns;
  const std::int64_t part = args.out.rows * columns;
  const Share mine = share_of(args.out.rows, worker);
  for (std::int64_t row = mine.first; row < mine.end; ++row) {
    float* out = args.out.data + row * args.out.stride;
    for (std::int64_t column = 0; column < columns; column += 16) {
      const int count = static_cast<int>(smaller<std::int64_t>(16, columns - column));
      F32x16 sums[8];
      for (int p = 0; p < args.part_count; ++p) {
        sums[p] = load_first(args.parts + p * part + row * columns + column, count);
      }
      for (int width = args.part_count; width > 1; width /= 2) {
        for (int p = 0; p < width / 2; ++p) sums[p] = sums[2 * p] + sums[2 * p + 1];
      }
      F32x16 y = with_bias(sums[0], args.bias, column, count);
      if (args.accumulate) y = load_first(out + column, count) + y;
      store_first(out + column, y, count);
    }
  }
}

}  // namespace gridmill::cpu::GRIDMILL_CPU_TARGET
