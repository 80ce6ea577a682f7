// y = W x for few rows (product_tiled.cu has many). A thread block owns some panels of 16 outputs
// and a tile of rows; warp b sums the b-th block of inputs, and the warps' sums join in a fixed
// tree. Nothing is split over the grid, so the order of a sum depends neither on the rows nor on
// how many panels a thread block owns.
#include <cuda_platform.hpp>

#include "kernels/cuda/fragment.cuh"
#include "kernels/cuda/product.cuh"
#include "kernels/cuda/reduce.cuh"

namespace gridmill::cuda {

namespace {

constexpr int kBlocks = 8;  ///< of inputs, and warps of a thread block
constexpr int kProductThreads = kBlocks * kWarp;

/// Inputs [k, k + 8) of `row`, those from `end` on 0, wherever `row` begins.
GRIDMILL_DEVICE Eight gather_eight(const Bf16* row, std::int64_t k, std::int64_t end) {
  Eight values{};
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const std::uint32_t value = k + i < end ? row[k + i] : 0;
    values.pair[i / 2] |= value << (16 * (i % 2));
  }
  return values;
}

/// Sums of one warp's inputs for `Panels` panels and 8 `Tiles` rows, on tensor cores.
///
/// Several panels share what is loaded of the rows, which comes from the second cache for every
/// thread block again. All loads of some steps stand before their products, so that memory's
/// latency is paid once for them.
template <int Tiles, int Panels>
class PanelSums {
 public:
  GRIDMILL_DEVICE PanelSums(const ProductArgs& args, std::int64_t first_panel,
                            std::int64_t first_row)
      : stride_(padded_inputs(args.x.inputs)), rows_(args.x.rows - first_row - group()) {
#pragma unroll
    for (int panel = 0; panel < Panels; ++panel) {
      const std::byte* data = panel_of(args.weight, first_panel + panel);
      weights_[panel] =
          data == nullptr ? nullptr : reinterpret_cast<const Bf16*>(data) + group() * stride_;
    }
    x_ = reinterpret_cast<const Bf16*>(args.x.data) + (first_row + group()) * stride_;
  }

  GRIDMILL_DEVICE void sum(Slice slice, bool aligned) {
    constexpr int kDepth = 4 / Panels;  ///< steps in flight
    if (!aligned) {
      for (std::int64_t k = slice.begin; k < slice.end; k += kStep) {
        const std::int64_t at = k + 8 * part();
        steps<1>([&](const Bf16* row, int /*step*/) { return gather_eight(row, at, slice.end); });
      }
      return;
    }
    std::int64_t k = slice.begin;
    for (; k + kDepth * kStep <= slice.end; k += kDepth * kStep) {
      const std::int64_t at = k + 8 * part();
      steps<kDepth>([&](const Bf16* row, int step) {
        return *reinterpret_cast<const Eight*>(row + at + step * kStep);
      });
    }
    // `end` is a multiple of 8, or behind the last input of a row, where padding is.
    for (; k < slice.end; k += kStep) {
      const std::int64_t at = k + 8 * part();
      const bool inside = at < slice.end;
      steps<1>([&](const Bf16* row, int /*step*/) {
        Eight values{};
        if (inside) values = *reinterpret_cast<const Eight*>(row + at);
        return values;
      });
    }
  }

  /// To `sums` [16 outputs][rows].
  GRIDMILL_DEVICE void put(int panel, float* sums) const {
    constexpr int kRows = 8 * Tiles;
#pragma unroll
    for (int tile = 0; tile < Tiles; ++tile) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int output = group() + 8 * (i / 2);
        const int row = 8 * tile + 2 * part() + i % 2;
        sums[output * kRows + row] = sums_[panel][tile][i];
      }
    }
  }

 private:
  static constexpr int kStep = 32;
  GRIDMILL_DEVICE static int group() { return thread_index() % kWarp / 4; }
  GRIDMILL_DEVICE static int part() { return thread_index() % 4; }

  /// Loads all inputs of `Depth` steps before it multiplies the first. `load(row, step)`: this
  /// lane's inputs of a step.
  template <int Depth, typename Load>
  GRIDMILL_DEVICE void steps(const Load& load) {
    Eight low[Depth][Panels] = {};
    Eight high[Depth][Panels] = {};
    Eight x[Depth][Tiles] = {};
#pragma unroll
    for (int step = 0; step < Depth; ++step) {
#pragma unroll
      for (int panel = 0; panel < Panels; ++panel) {
        if (weights_[panel] != nullptr) {
          low[step][panel] = load(weights_[panel], step);
          high[step][panel] = load(weights_[panel] + 8 * stride_, step);
        }
      }
#pragma unroll
      for (int tile = 0; tile < Tiles; ++tile) {
        if (8 * tile < rows_) x[step][tile] = load(x_ + 8 * tile * stride_, step);
      }
    }
#pragma unroll
    for (int step = 0; step < Depth; ++step) {
#pragma unroll
      for (int panel = 0; panel < Panels; ++panel) {
#pragma unroll
        for (int tile = 0; tile < Tiles; ++tile) {
          multiply_32(sums_[panel][tile], low[step][panel], high[step][panel], x[step][tile]);
        }
      }
    }
  }

  std::int64_t stride_;
  std::int64_t rows_;            ///< from this lane's first row on
  const Bf16* weights_[Panels];  ///< this lane's first row of each panel; nullptr: no such panel
  const Bf16* x_;                ///< this lane's first row
  float sums_[Panels][Tiles][4] = {};
};

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

/// Panels of a thread block that follow each other are joined one after the other: shared memory
/// holds the sums of one. Gated, every second one is the partner of the one before.
template <DType Compute, int Tiles, int Panels>
GRIDMILL_KERNEL void product_kernel(ProductArgs args) {
  constexpr int kRows = 8 * Tiles;
  constexpr int kPerBlock = kPanelOutputs * kRows;
  constexpr int kEach = (kPerBlock + kProductThreads - 1) / kProductThreads;
  auto* sums = reinterpret_cast<float*>(shared_memory());  // [blocks][16 outputs][rows]
  const int warp = thread_index() / kWarp;
  const std::int64_t first_panel = static_cast<std::int64_t>(block_x()) * Panels;
  const std::int64_t first_row = static_cast<std::int64_t>(block_y()) * kRows;
  const bool gated = args.epilogue == Epilogue::gated;
  const Slice slice = slice_of(args, warp);
  PanelSums<Tiles, Panels> all(args, first_panel, first_row);
  if (Compute == DType::bf16 && warp < args.blocks) {
    all.sum(slice, args.block_inputs % kInputPad == 0);
  }
  float before[kEach] = {};
#pragma unroll
  for (int panel = 0; panel < Panels; ++panel) {
    if (panel > 0) barrier();  // the sums of the panel before have been read
    if (warp < args.blocks) {
      float* own = sums + warp * kPerBlock;
      if constexpr (Compute == DType::bf16) {
        all.put(panel, own);
      } else {
        sum_fp32<Tiles>(args, panel_of(args.weight, first_panel + panel), first_row, slice, own);
      }
    }
    barrier();
    const std::int64_t first_output =
        (gated ? (first_panel + panel) / 2 : first_panel + panel) * kPanelOutputs;
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      const int at = thread_index() + i * kProductThreads;
      if (at >= kPerBlock) continue;
      // Neighbouring threads take neighbouring outputs of a row.
      const int place = at % kPanelOutputs * kRows + at / kPanelOutputs;
      const std::int64_t row = first_row + at / kPanelOutputs;
      if (args.epilogue == Epilogue::weighted) {
        if (row >= args.x.rows) continue;
        for (int block = 0; block < args.blocks; ++block) {
          finish_weighted(args, row, first_output + at % kPanelOutputs, block,
                          sums[block * kPerBlock + place]);
        }
        continue;
      }
      const float joined = tree_of_blocks(sums + place, args.blocks, kPerBlock);
      if (row < args.x.rows && (!gated || panel % 2 == 1)) {
        finish<Compute>(args, row, first_output + at % kPanelOutputs, gated ? before[i] : joined,
                        joined);
      }
      before[i] = joined;
    }
  }
}

template <DType Compute, int Tiles, int Panels>
void launch_panels(LaunchStream stream, const ProductArgs& args, std::int64_t panels) {
  constexpr int kRows = 8 * Tiles;
  const auto panel_tiles = static_cast<unsigned>((panels + Panels - 1) / Panels);
  const auto row_tiles = static_cast<unsigned>((args.x.rows + kRows - 1) / kRows);
  launch(stream, product_kernel<Compute, Tiles, Panels>, {panel_tiles, row_tiles, 1},
         kProductThreads, sizeof(float) * kBlocks * kPanelOutputs * kRows, args);
}

/// How many panels a thread block takes is a matter of speed alone. With 8 rows, what is loaded of
/// them is half of what is loaded of one panel; with 64, four times as much. But a chip needs at
/// least a thread block for every multiprocessor (132), better two.
template <DType Compute, int Tiles>
void launch_tiles(LaunchStream stream, const ProductArgs& args) {
  constexpr std::int64_t kManyPanels = 1024;
  const bool gated = args.epilogue == Epilogue::gated;
  const std::int64_t panels = (args.outputs + kPanelOutputs - 1) / kPanelOutputs * (gated ? 2 : 1);
  if constexpr (Compute == DType::bf16 && Tiles >= 4) {
    if (panels >= kManyPanels) return launch_panels<Compute, Tiles, 4>(stream, args, panels);
  }
  if (gated || (Compute == DType::bf16 && Tiles >= 2)) {
    return launch_panels<Compute, Tiles, 2>(stream, args, panels);
  }
  if constexpr (Compute == DType::fp32 || Tiles == 1) {
    launch_panels<Compute, Tiles, 1>(stream, args, panels);
  }
}

template <DType Compute>
void launch_compute(LaunchStream stream, const ProductArgs& args) {
  if (args.x.rows <= 8) return launch_tiles<Compute, 1>(stream, args);
  if (args.x.rows <= 16) return launch_tiles<Compute, 2>(stream, args);
  if (args.x.rows <= 32) return launch_tiles<Compute, 4>(stream, args);
  launch_tiles<Compute, 8>(stream, args);
}

}  // namespace

void launch_weighted_product(LaunchStream stream, DType compute_dtype, const ProductArgs& args) {
  if (compute_dtype == DType::bf16) {
    launch_compute<DType::bf16>(stream, args);
  } else {
    launch_compute<DType::fp32>(stream, args);
  }
}

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
