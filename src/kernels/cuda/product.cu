// y = W x for few rows (product_tiled.cu has many). A thread block owns one panel of 16 outputs (or
// a pair of them) and a tile of rows; warp b sums the b-th block of inputs, and the warps' sums
// join in a fixed tree. Nothing is split over the grid, so the order of a sum does not depend on
// the rows.
#include <cuda_platform.hpp>

#include "kernels/cuda/product.cuh"
#include "kernels/cuda/reduce.cuh"

namespace gridmill::cuda {

namespace {

constexpr int kBlocks = 8;  ///< of inputs, and warps of a thread block
constexpr int kProductThreads = kBlocks * kWarp;

/// Eight bf16 inputs of a row as four pairs.
struct alignas(16) Eight {
  std::uint32_t pair[4];
};

/// Inputs [k, k + 8) of `row`, those from `end` on 0. `aligned`: k is a multiple of 8 and so is
/// `end`, unless it is the last input of the row, behind which there is padding.
GRIDMILL_DEVICE Eight load_eight(const Bf16* row, std::int64_t k, std::int64_t end, bool aligned) {
  Eight values{};
  if (aligned) {
    if (k < end) values = *reinterpret_cast<const Eight*>(row + k);
    return values;
  }
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const std::uint32_t value = k + i < end ? row[k + i] : 0;
    values.pair[i / 2] |= value << (16 * (i % 2));
  }
  return values;
}

/// Sums of one warp's inputs for 16 outputs and 8 `Tiles` rows, on tensor cores. Of every 32
/// inputs, lane (g, t) loads 8 t .. 8 t + 7: they fill its places in two steps. Which input stands
/// where in a step is free, as long as weights and rows agree.
template <int Tiles>
GRIDMILL_DEVICE void sum_bf16(const ProductArgs& args, const std::byte* panel,
                              std::int64_t first_row, Slice slice, float* sums) {
  constexpr int kRows = 8 * Tiles;
  const std::int64_t stride = padded_inputs(args.x.inputs);
  const bool aligned = args.block_inputs % kInputPad == 0;
  const int lane = thread_index() % kWarp;
  const int group = lane / 4;
  const int part = lane % 4;
  const Bf16* low = reinterpret_cast<const Bf16*>(panel) + group * stride;
  const Bf16* high = low + 8 * stride;
  const Bf16* x[Tiles];
#pragma unroll
  for (int tile = 0; tile < Tiles; ++tile) {
    const std::int64_t row = first_row + 8 * tile + group;
    x[tile] =
        row < args.x.rows ? reinterpret_cast<const Bf16*>(args.x.data) + row * stride : nullptr;
  }
  float acc[Tiles][4] = {};
#pragma unroll 2
  for (std::int64_t k = slice.begin; k < slice.end; k += 32) {
    const Eight a_low = load_eight(low, k + 8 * part, slice.end, aligned);
    const Eight a_high = load_eight(high, k + 8 * part, slice.end, aligned);
    const std::uint32_t a0[4] = {a_low.pair[0], a_high.pair[0], a_low.pair[1], a_high.pair[1]};
    const std::uint32_t a1[4] = {a_low.pair[2], a_high.pair[2], a_low.pair[3], a_high.pair[3]};
#pragma unroll
    for (int tile = 0; tile < Tiles; ++tile) {
      Eight b{};
      if (x[tile] != nullptr) b = load_eight(x[tile], k + 8 * part, slice.end, aligned);
      const std::uint32_t b0[2] = {b.pair[0], b.pair[1]};
      const std::uint32_t b1[2] = {b.pair[2], b.pair[3]};
      mma_16816(acc[tile], a0, b0);
      mma_16816(acc[tile], a1, b1);
    }
  }
#pragma unroll
  for (int tile = 0; tile < Tiles; ++tile) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int output = group + 8 * (i / 2);
      const int row = 8 * tile + 2 * part + i % 2;
      sums[output * kRows + row] = acc[tile][i];
    }
  }
}

/// The same in fp32: lane l holds output l mod 16 of every second row, one ascending chain each.
template <int Tiles>
GRIDMILL_DEVICE void sum_fp32(const ProductArgs& args, const std::byte* panel,
                              std::int64_t first_row, Slice slice, float* sums) {
  constexpr int kRows = 8 * Tiles;
  const std::int64_t stride = padded_inputs(args.x.inputs);
  const int lane = thread_index() % kWarp;
  const int output = lane % kPanelOutputs;
  const int half = lane / kPanelOutputs;
  const float* w = reinterpret_cast<const float*>(panel) + output * stride;
  const float* x = reinterpret_cast<const float*>(args.x.data) + (first_row + half) * stride;
  int rows = static_cast<int>((args.x.rows - first_row - half + 1) / 2);
  if (rows > kRows / 2) rows = kRows / 2;
  float acc[kRows / 2] = {};
  for (std::int64_t k = slice.begin; k < slice.end; ++k) {
    const float weight = w[k];
#pragma unroll
    for (int i = 0; i < kRows / 2; ++i) {
      if (i < rows) acc[i] = fmaf(x[2 * i * stride + k], weight, acc[i]);
    }
  }
#pragma unroll
  for (int i = 0; i < kRows / 2; ++i) sums[output * kRows + 2 * i + half] = acc[i];
}

/// Balanced tree over the blocks' sums of one output and row.
GRIDMILL_DEVICE float tree_of_blocks(const float* sums, int blocks, int stride) {
  float value[kBlocks];
#pragma unroll
  for (int b = 0; b < kBlocks; ++b) value[b] = b < blocks ? sums[b * stride] : 0.0F;
  if (blocks == 1) return value[0];
  const float first = value[0] + value[1];
  if (blocks == 2) return first;
  const float second = value[2] + value[3];
  if (blocks == 4) return first + second;
  return (first + second) + ((value[4] + value[5]) + (value[6] + value[7]));
}

template <DType Compute, int Tiles>
GRIDMILL_KERNEL void product_kernel(ProductArgs args) {
  constexpr int kRows = 8 * Tiles;
  constexpr int kPerBlock = kPanelOutputs * kRows;
  constexpr int kEach = (kPerBlock + kProductThreads - 1) / kProductThreads;
  auto* sums = reinterpret_cast<float*>(shared_memory());  // [blocks][16 outputs][rows]
  const int warp = thread_index() / kWarp;
  const std::int64_t first_row = static_cast<std::int64_t>(block_y()) * kRows;
  const int parts = args.epilogue == Epilogue::gated ? 2 : 1;
  float joined[2][kEach] = {};
  for (int part = 0; part < parts; ++part) {
    const std::byte* panel =
        panel_of(args.weight, static_cast<std::int64_t>(block_x()) * parts + part);
    if (part > 0) barrier();  // the sums of the first panel have been read
    if (warp < args.blocks) {
      const Slice slice = slice_of(args, warp);
      if constexpr (Compute == DType::bf16) {
        sum_bf16<Tiles>(args, panel, first_row, slice, sums + warp * kPerBlock);
      } else {
        sum_fp32<Tiles>(args, panel, first_row, slice, sums + warp * kPerBlock);
      }
    }
    barrier();
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      const int at = thread_index() + i * kProductThreads;
      if (at < kPerBlock) {
        // Neighbouring threads take neighbouring outputs of a row.
        const int place = at % kPanelOutputs * kRows + at / kPanelOutputs;
        joined[part][i] = tree_of_blocks(sums + place, args.blocks, kPerBlock);
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    const int at = thread_index() + i * kProductThreads;
    const std::int64_t row = first_row + at / kPanelOutputs;
    if (at < kPerBlock && row < args.x.rows) {
      finish<Compute>(args, row,
                      static_cast<std::int64_t>(block_x()) * kPanelOutputs + at % kPanelOutputs,
                      joined[0][i], joined[1][i]);
    }
  }
}

template <DType Compute, int Tiles>
void launch_tiles(LaunchStream stream, const ProductArgs& args) {
  constexpr int kRows = 8 * Tiles;
  const auto panels = static_cast<unsigned>((args.outputs + kPanelOutputs - 1) / kPanelOutputs);
  const auto row_tiles = static_cast<unsigned>((args.x.rows + kRows - 1) / kRows);
  launch(stream, product_kernel<Compute, Tiles>, {panels, row_tiles, 1}, kProductThreads,
         sizeof(float) * kBlocks * kPanelOutputs * kRows, args);
}

template <DType Compute>
void launch_compute(LaunchStream stream, const ProductArgs& args) {
  if (args.x.rows <= 8) return launch_tiles<Compute, 1>(stream, args);
  if (args.x.rows <= 16) return launch_tiles<Compute, 2>(stream, args);
  if (args.x.rows <= 32) return launch_tiles<Compute, 4>(stream, args);
  launch_tiles<Compute, 8>(stream, args);
}

}  // namespace

void launch_product(LaunchStream stream, DType compute_dtype, const ProductArgs& args) {
  // Up to here one tile of rows holds them all, so that every weight is read once.
  constexpr std::int64_t kFewRows = 64;
  if (args.x.rows > kFewRows) return launch_tiled_product(stream, compute_dtype, args);
  if (compute_dtype == DType::bf16) {
    launch_compute<DType::bf16>(stream, args);
  } else {
    launch_compute<DType::fp32>(stream, args);
  }
}

}  // namespace gridmill::cuda
