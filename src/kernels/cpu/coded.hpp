// Products with weights of 8 and 4 bits (docs/numerics.md, section 2a).
//
// Contract: products of codes add up in int32, exactly, so that no order, tile or instruction can
// change a bit; each group then joins its output's chain by one fma, groups ascending.
//
// Blocking, as in products.hpp but for these:
//  * The chain's fp32 sums rest in memory (L1: 8 rows x 48 x 4 bytes = 1.5 KiB) between groups:
//    registers hold the int32 sums of one group. A group of 64 inputs is 16 steps of 24
//    multiplications each; converting, scaling and adding takes 24 x 3 instructions more (16 %).
//  * Without vpdpbusd codes are widened to 16 bits and multiplied in pairs (vpmaddwd), which takes
//    three more registers a vector: 4 rows at a time.
//  * A weight's code is stored as an unsigned byte, the row's is signed, as vpdpbusd multiplies.
//    The int32 sums start at the row's offset, which takes back what was added.
#pragma once

#include "kernels/cpu/blocking.hpp"
#include "kernels/cpu/code_layout.hpp"
#include "kernels/cpu/math.hpp"

namespace gridmill::cpu::GRIDMILL_CPU_TARGET {

struct Int8Codes {
  static constexpr WeightCodes kCodes = WeightCodes::int8;
  static constexpr int kParts = 1;  ///< words of 4 codes in a step
  static constexpr int kAdded = 128;
  GRIDMILL_SIMD static void load(const std::uint32_t* p, I32x16 parts[kParts]) {
    parts[0] = bits_of(GRIDMILL_CPU_TARGET::load(reinterpret_cast<const float*>(p)));
  }
};
struct Int4Codes {
  static constexpr WeightCodes kCodes = WeightCodes::int4;
  static constexpr int kParts = 2;
  static constexpr int kAdded = 8;
  GRIDMILL_SIMD static void load(const std::uint32_t* p, I32x16 parts[kParts]) {
    const I32x16 words = bits_of(GRIDMILL_CPU_TARGET::load(reinterpret_cast<const float*>(p)));
    const I32x16 low = splat_int(0x0F0F0F0F);
    parts[0] = words & low;
    parts[1] = shift_right<4>(words) & low;
  }
};

/// In place of Fp32Steps and Bf16Steps where weights are codes. Rows that a product writes are
/// packed in bf16.
template <class CodesOf>
struct CodedSteps {
  using Codes = CodesOf;
  using Packed = Bf16Steps;
  static constexpr bool kCoded = true;
  static constexpr std::int64_t kStep = step_inputs(Codes::kCodes);
};

constexpr std::int64_t kCodedSubPanelBytes = kWide ? 144 << 10 : 24 << 10;
/// Rows of a register tile.
constexpr int kCodedRows = kNativeCodes ? 8 : 4;

/// Consecutive groups of one chain for one block of rows and one panel.
struct CodedTile {
  const std::byte* x;  ///< the first of these groups
  std::int64_t height;
  std::int64_t first_row;  ///< of the block that this tile takes
  const std::byte* w;
  int vector;  ///< first of 3 that this tile takes
  std::int64_t groups;
  std::int64_t steps;
  std::int64_t last_steps;  ///< of the last of these groups
  float* sums;              ///< [rows of the block][48]
  bool fresh;
  const std::byte* ahead;
  std::int64_t ahead_step;
};

template <class Codes, int R, int V, int P, int L>
[[gnu::noinline]] void coded_tile(const CodedTile& args) {
  const std::byte* x = args.x;
  const std::byte* w = args.w;
  const std::byte* ahead = args.ahead;
  const std::int64_t height = args.height;
  const std::int64_t ahead_step = args.ahead_step;
  for (std::int64_t group = 0; group < args.groups; ++group) {
    const std::int64_t steps = group + 1 == args.groups ? args.last_steps : args.steps;
    const float* scales = reinterpret_cast<const float*>(x) + args.first_row;
    const auto* offsets = reinterpret_cast<const std::int32_t*>(scales) + height;
    const auto* codes = reinterpret_cast<const std::uint32_t*>(offsets) + height;
    const auto* words = reinterpret_cast<const std::uint32_t*>(w) + 16 * args.vector;
    I32x16 acc[R][V];
    GRIDMILL_UNROLL
    for (int r = 0; r < R; ++r) {
      GRIDMILL_UNROLL
      for (int v = 0; v < V; ++v) acc[r][v] = splat_int(offsets[r]);
    }
    for (std::int64_t step = 0; step < steps; ++step) {
      GRIDMILL_UNROLL
      for (int p = 0; p < P; ++p) prefetch<L>(ahead + 64 * p);
      I32x16 weights[V][Codes::kParts];
      GRIDMILL_UNROLL
      for (int v = 0; v < V; ++v) Codes::load(words + 16 * v, weights[v]);
      GRIDMILL_UNROLL
      for (int part = 0; part < Codes::kParts; ++part) {
        GRIDMILL_UNROLL
        for (int r = 0; r < R; ++r) {
          const I32x16 input = splat_int(static_cast<std::int32_t>(codes[part * height + r]));
          GRIDMILL_UNROLL
          for (int v = 0; v < V; ++v) acc[r][v] = dot_codes(acc[r][v], weights[v][part], input);
        }
      }
      codes += Codes::kParts * height;
      words += kPanelOutputs;
      ahead += ahead_step;
    }
    const auto* halves =
        reinterpret_cast<const std::uint16_t*>(w + steps * kUnitBytes) + 16 * args.vector;
    F32x16 weight_scales[V];
    GRIDMILL_UNROLL
    for (int v = 0; v < V; ++v) weight_scales[v] = load_fp16(halves + 16 * v);
    GRIDMILL_UNROLL
    for (int r = 0; r < R; ++r) {
      const F32x16 scale = splat(scales[r]);
      GRIDMILL_UNROLL
      for (int v = 0; v < V; ++v) {
        float* sums = args.sums + r * kPanelOutputs + 16 * v;
        const F32x16 before = args.fresh && group == 0 ? zero() : load(sums);
        store(sums, fma(to_float(acc[r][v]), scale * weight_scales[v], before));
      }
    }
    GRIDMILL_UNROLL
    for (int p = 0; p < P; ++p) prefetch<L>(ahead + 64 * p);
    ahead += ahead_step / 2;
    x += height * coded_row_group(steps, step_inputs(Codes::kCodes));
    w += coded_panel_group(steps);
  }
}

template <class Codes, int V, int P, int L>
void coded_rows_tile(const CodedTile& args, std::int64_t rows) {
  switch (rows) {
    case 1:
      return coded_tile<Codes, 1, V, P, L>(args);
    case 2:
      return coded_tile<Codes, 2, V, P, L>(args);
    case 3:
      return coded_tile<Codes, 3, V, P, L>(args);
    case 4:
      return coded_tile<Codes, 4, V, P, L>(args);
    default:
      break;
  }
  if constexpr (kCodedRows == 8) {
    switch (rows) {
      case 5:
        return coded_tile<Codes, 5, V, P, L>(args);
      case 6:
        return coded_tile<Codes, 6, V, P, L>(args);
      case 7:
        return coded_tile<Codes, 7, V, P, L>(args);
      default:
        return coded_tile<Codes, 8, V, P, L>(args);
    }
  }
}

/// One block of rows by a whole panel.
template <class Codes, int P, int L>
void coded_block(const CodedTile& args) {
  constexpr int kTileVectors = kWide ? kVectors : 1;
  for (std::int64_t r = 0; r < args.height; r += kCodedRows) {
    CodedTile part = args;
    part.first_row = r;
    part.sums += r * kPanelOutputs;
    // first_row also moves the codes: they lie [R] behind the offsets.
    for (int v = 0; v < kVectors; v += kTileVectors) {
      CodedTile vectors = part;
      vectors.vector = v;
      vectors.sums += 16 * v;
      coded_rows_tile<Codes, kTileVectors, P, L>(
          vectors, smaller<std::int64_t>(kCodedRows, args.height - r));
    }
  }
}

/// Adds the finished sub-trees on the left to a chain's sums: the result goes to the last of them.
inline void join_levels(float* sums, std::int64_t values, int joins) {
  for (int join = 0; join < joins; ++join) {
    float* left = sums - values;
    for (std::int64_t i = 0; i < values; i += 16) store(left + i, load(left + i) + load(sums + i));
    sums = left;
  }
}

/// Inputs of a chain.
GRIDMILL_SIMD std::int64_t chain_block(const ChainView& chains, std::int64_t inputs) {
  return chains.count == 1 && chains.inputs == 0 ? inputs : chains.inputs;
}

/// Chain `index` for the rows of a chunk.
template <class Steps>
void coded_chain(const PackedRows& x, const RowChunk& chunk, const std::byte* panel,
                 const ChainView& chains, std::int64_t index, float* chain_sums, int joins) {
  using Codes = typename Steps::Codes;
  const std::int64_t block = chain_block(chains, x.inputs);
  const std::int64_t first = smaller(x.inputs, index * block);
  const std::int64_t inputs = smaller(x.inputs, first + block) - first;
  const std::int64_t values = chunk.rows * kPanelOutputs;
  if (inputs <= 0) {
    for (std::int64_t i = 0; i < values; i += 16) store(chain_sums + i, zero());
    return join_levels(chain_sums, values, joins);
  }
  const CodedExtent extent = coded_extent(inputs, chains.group, Steps::kStep);
  const std::int64_t panel_group = coded_panel_group(extent.steps);
  const std::int64_t row_group = coded_row_group(extent.steps, Steps::kStep);
  const std::int64_t row_bytes = coded_row_bytes(x.inputs, block, chains.group, Steps::kStep);
  const std::int64_t row_chain = coded_row_bytes(first, block, chains.group, Steps::kStep);
  const std::byte* w = panel + coded_panel_bytes(first, block, chains.group, Steps::kStep);
  const std::int64_t blocks = (chunk.rows + kBlockRows - 1) / kBlockRows;
  const std::int64_t parts =
      blocks == 1 ? 1
                  : (extent.groups * panel_group + kCodedSubPanelBytes - 1) / kCodedSubPanelBytes;
  for (std::int64_t part = 0; part < parts; ++part) {
    const std::int64_t begin = extent.groups * part / parts;
    const std::int64_t end = extent.groups * (part + 1) / parts;
    if (begin == end) continue;
    const std::int64_t share = (kUnitBytes + blocks - 1) / blocks;
    for (std::int64_t b = 0; b < blocks; ++b) {
      const std::int64_t row = chunk.first + b * kBlockRows;
      CodedTile args{};
      args.height = smaller<std::int64_t>(kBlockRows, x.rows - row);
      args.x = x.data + row * row_bytes + (row_chain + begin * row_group) * args.height;
      args.w = w + begin * panel_group;
      args.groups = end - begin;
      args.steps = extent.steps;
      args.last_steps = end == extent.groups ? extent.last_steps : extent.steps;
      args.sums = chain_sums + b * kBlockRows * kPanelOutputs;
      args.fresh = begin == 0;
      if (blocks == 1) {
        args.ahead_step = kUnitBytes;
        if (args.height <= kNearRows) {
          args.ahead = args.w + kNearAhead;
          coded_block<Codes, 3, 1>(args);
        } else {
          args.ahead = args.w + kFarAhead;
          coded_block<Codes, 3, 2>(args);
        }
      } else {
        args.ahead_step = share;
        args.ahead = w + end * panel_group + b * share * (end - begin) * extent.steps;
        if (share > 64) {
          coded_block<Codes, 2, 2>(args);
        } else {
          coded_block<Codes, 1, 2>(args);
        }
      }
    }
  }
  join_levels(chain_sums, values, joins);
}

/// Rounds one group of one row to int8. `pairs` are its inputs in bf16, 16-pair vectors filled up
/// with zeros; `codes` receives as many bytes.
struct RoundedGroup {
  float scale;
  std::int32_t sum;  ///< of the codes
};
GRIDMILL_SIMD RoundedGroup round_group(const std::uint32_t* pairs, int vectors,
                                       std::uint16_t* codes) {
  const I32x16 magnitude = splat_int(0x7FFFFFFF);
  F32x16 largest = zero();
  F32x16 finite = zero();  // stays 0 where every value is finite
  for (int v = 0; v < vectors; ++v) {
    F32x16 low;
    F32x16 high;
    load_bf16_pairs(pairs + 16 * v, low, high);
    finite = finite + low * zero() + high * zero();
    low = float_of_bits(bits_of(low) & magnitude);
    high = float_of_bits(bits_of(high) & magnitude);
    largest = select(less(largest, low), low, largest);
    largest = select(less(largest, high), high, largest);
  }
  float scale = 0;
  float inverse = 0;
  if (!(tree_sum(finite) == 0.0F)) {
    scale = __builtin_nanf("");
  } else if (const float peak = largest_lane(largest); !(peak < 0x1p-100F)) {
    scale = peak / 127.0F;
    inverse = 127.0F / peak;
  }
  if (inverse == 0.0F) {
    for (int i = 0; i < 16 * vectors; ++i) codes[i] = 0;
    return {scale, 0};
  }
  I32x16 sum = splat_int(0);
  for (int v = 0; v < vectors; ++v) {
    F32x16 low;
    F32x16 high;
    load_bf16_pairs(pairs + 16 * v, low, high);
    const I32x16 even = truncate_to_int(round_even(low * splat(inverse)));
    const I32x16 odd = truncate_to_int(round_even(high * splat(inverse)));
    sum = sum + even + odd;
    const I32x16 byte = splat_int(0xFF);
    store_low_halves(codes + 16 * v, (even & byte) | shift_left<8>(odd & byte));
  }
  // At most 128 codes of 127: exact in fp32.
  return {scale, static_cast<std::int32_t>(tree_sum(to_float(sum)))};
}

/// Packed rows in bf16 to rows of codes. Units are (block of rows, group).
template <class Steps>
void quantize_rows(const QuantizeArgs& args, const Worker& worker) {
  constexpr int kMostPairs = 64;
  const std::int64_t inputs = args.x.inputs;
  if (inputs == 0) return;
  const std::int64_t block = chain_block(args.chains, inputs);
  const int size = args.chains.group;
  const std::int64_t in_block = (block + size - 1) / size;
  const std::int64_t groups = inputs / block * in_block + (inputs % block + size - 1) / size;
  const std::int64_t row_bytes = coded_row_bytes(inputs, block, size, Steps::kStep);
  for (std::int64_t p = 0; p < args.part_count; ++p) {
    const ExpertView& part = args.parts[p];
    const std::byte* from = args.x.data + part.first * 4 * units_of<Bf16Steps>(inputs);
    std::byte* to = args.out + part.first * row_bytes;
    const Share mine = share_of((part.count + kBlockRows - 1) / kBlockRows * groups, worker);
    for (std::int64_t unit = mine.first; unit < mine.end; ++unit) {
      const std::int64_t row = unit / groups * kBlockRows;
      const std::int64_t height = smaller<std::int64_t>(kBlockRows, part.count - row);
      const std::int64_t group = unit % groups;
      const std::int64_t chain = group / in_block * block;
      const std::int64_t begin = chain + group % in_block * size;
      const std::int64_t count =
          smaller<std::int64_t>(size, smaller(inputs, chain + block) - begin);
      const std::int64_t pairs = (count + 1) / 2;
      const auto* x = reinterpret_cast<const std::uint32_t*>(from) +
                      row * units_of<Bf16Steps>(inputs) + begin / 2 * height;
      auto* out = to + row * row_bytes +
                  height * (coded_row_bytes(chain, block, size, Steps::kStep) +
                            group % in_block * coded_row_group(size / Steps::kStep, Steps::kStep));
      auto* scales = reinterpret_cast<float*>(out);
      auto* offsets = reinterpret_cast<std::int32_t*>(out) + height;
      auto* words = reinterpret_cast<std::uint32_t*>(out) + 2 * height;
      const std::int64_t word_count = (count + Steps::kStep - 1) / Steps::kStep * Steps::kStep / 4;
      const int vectors = static_cast<int>((pairs + 15) / 16);
      for (std::int64_t r = 0; r < height; ++r) {
        alignas(64) std::uint32_t line[kMostPairs];
        alignas(64) std::uint16_t codes[kMostPairs];
        for (std::int64_t i = 0; i < pairs; ++i) line[i] = x[i * height + r];
        for (std::int64_t i = pairs; i < 16 * vectors; ++i) line[i] = 0;
        const RoundedGroup rounded = round_group(line, vectors, codes);
        scales[r] = rounded.scale;
        offsets[r] = -Steps::Codes::kAdded * rounded.sum;
        for (std::int64_t i = 0; i < word_count; ++i) {
          __builtin_memcpy(words + i * height + r, codes + 2 * i, 4);
        }
      }
    }
  }
}

/// Steps of dot_codes on registers: `steps` x 16 chains of 16 lanes, 4 products each.
inline std::int32_t limit_codes(std::int64_t steps) {
  constexpr int kChains = kWide ? 16 : 4;
  const I32x16 x = splat_int(0x01020304);
  I32x16 acc[kChains];
  GRIDMILL_UNROLL
  for (int c = 0; c < kChains; ++c) acc[c] = splat_int(c);
  for (std::int64_t i = 0; i < steps * 16 / kChains; ++i) {
    GRIDMILL_UNROLL
    for (int c = 0; c < kChains; ++c) {
      acc[c] = dot_codes(acc[c], x, x);
      F32x16 held = float_of_bits(acc[c]);
      hold(held);
      acc[c] = bits_of(held);
    }
  }
  I32x16 sum = splat_int(0);
  GRIDMILL_UNROLL
  for (int c = 0; c < kChains; ++c) sum = sum + acc[c];
  alignas(64) std::int32_t lanes[16];
  store(reinterpret_cast<float*>(lanes), float_of_bits(sum));
  return lanes[0];
}

}  // namespace gridmill::cpu::GRIDMILL_CPU_TARGET
