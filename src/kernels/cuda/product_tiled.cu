// y = W x for many rows: the sums of product.cu, in its order, so that a row does not notice which
// of the two made it. A thread block owns 128 outputs of 128 rows and goes through all inputs, one
// block of them after the other; every thread keeps 64 sums. Inputs come in steps of 64 bytes a
// line through three stages of shared memory, two of them under way while the third is multiplied.
#include <cuda_platform.hpp>

#include "kernels/cuda/product.cuh"
#include "kernels/cuda/reduce.cuh"

namespace gridmill::cuda {

namespace {

constexpr int kTile = 128;  ///< outputs and rows of a thread block
constexpr int kTilePanels = kTile / kPanelOutputs;
constexpr int kTileThreads = 256;
constexpr int kSums = kTile * kTile / kTileThreads;  ///< of a thread
constexpr int kChunk = 16;                           ///< bytes that a thread copies at a time
constexpr int kChunks = 4;                           ///< of a line in a step
constexpr int kLineBytes = kChunk * kChunks;
constexpr int kStages = 3;
constexpr int kStageBytes = 2 * kTile * kLineBytes;  ///< weights, then rows
constexpr int kThreadLines = 2 * kTile * kChunks / kTileThreads;

/// Where a chunk of a line lies in a stage. Neighbouring pairs of lines are rotated against each
/// other, so that 8 lanes that read the same chunk of 8 lines meet every bank once.
GRIDMILL_DEVICE int chunk_at(int line, int chunk) {
  return line * kLineBytes + (chunk ^ (line / 2 % kChunks)) * kChunk;
}

template <typename T>
struct alignas(kChunk) Chunk {
  T value[kChunk / sizeof(T)];
};

/// Inputs [k, k + a chunk) of a line, those from `end` on 0.
template <typename T>
GRIDMILL_DEVICE Chunk<T> load_chunk(const T* line, std::int64_t k, std::int64_t end) {
  Chunk<T> chunk{};
#pragma unroll
  for (int i = 0; i < kChunk / static_cast<int>(sizeof(T)); ++i) {
    if (line != nullptr && k + i < end) chunk.value[i] = line[k + i];
  }
  return chunk;
}

/// Inputs [k, k + a step) of a block, as far as they lie before `end`.
struct Step {
  int block;
  std::int64_t k;
  std::int64_t end;
};

/// The first step from `block` on; block = args.blocks if there is none.
GRIDMILL_DEVICE Step first_step(const ProductArgs& args, int block) {
  for (; block < args.blocks; ++block) {
    const Slice slice = slice_of(args, block);
    if (slice.begin < slice.end) return {block, slice.begin, slice.end};
  }
  return {args.blocks, 0, 0};
}

template <typename T>
class Tile {
 public:
  static constexpr int kStepInputs = kLineBytes / static_cast<int>(sizeof(T));

  /// A thread copies one chunk of every 64th line.
  GRIDMILL_DEVICE Tile(const ProductArgs& args, int row_tile, int panel_tile) : args_(args) {
    const std::int64_t stride = padded_inputs(args.x.inputs);
#pragma unroll
    for (int i = 0; i < kThreadLines; ++i) {
      const int line = line_of(i);
      if (i < kThreadLines / 2) {
        const std::byte* panel =
            panel_of(args.weight,
                     static_cast<std::int64_t>(panel_tile) * kTilePanels + line / kPanelOutputs);
        lines_[i] = panel == nullptr
                        ? nullptr
                        : reinterpret_cast<const T*>(panel) + line % kPanelOutputs * stride;
      } else {
        const std::int64_t row = static_cast<std::int64_t>(row_tile) * kTile + line - kTile;
        lines_[i] =
            row < args.x.rows ? reinterpret_cast<const T*>(args.x.data) + row * stride : nullptr;
      }
    }
  }

  /// Starts to copy a step's inputs into a stage, if there is one, and closes the group.
  GRIDMILL_DEVICE void copy(const Step& step, std::byte* stage) const {
    constexpr int kChunkInputs = kStepInputs / kChunks;
    // Behind the last input of a line there is padding; a block may end in the middle of a chunk.
    const bool aligned = args_.block_inputs % kChunkInputs == 0;
    if (step.block < args_.blocks) {
      const int chunk = thread_index() % kChunks;
      const std::int64_t k = step.k + chunk * kChunkInputs;
#pragma unroll
      for (int i = 0; i < kThreadLines; ++i) {
        std::byte* target = stage + chunk_at(line_of(i), chunk);
        if (aligned) {
          const bool inside = lines_[i] != nullptr && k < step.end;
          copy_async(target,
                     inside ? reinterpret_cast<const std::byte*>(lines_[i] + k) : args_.x.data,
                     inside);
        } else {
          *reinterpret_cast<Chunk<T>*>(target) = load_chunk(lines_[i], k, step.end);
        }
      }
    }
    copy_async_commit();
  }

 private:
  /// Of the stage: 128 of weights, then 128 of rows.
  GRIDMILL_DEVICE static int line_of(int i) {
    return thread_index() / kChunks + i * (kTileThreads / kChunks);
  }

  const ProductArgs& args_;
  const T* lines_[kThreadLines];  ///< nullptr: zeros
};

/// Where in the tile one of a thread's sums belongs. In both layouts the sum of the same place in
/// the next panel is kPanelSums further on.
struct Place {
  int output;
  int row;
};

template <DType Compute>
struct Multiply;

/// Tensor cores: a warp has 4 panels and 32 rows. The inputs of a step stand in the same places of
/// the same two instructions as in product.cu.
template <>
struct Multiply<DType::bf16> {
  using Element = Bf16;
  static constexpr int kPanels = 4;
  static constexpr int kRowTiles = 4;
  static constexpr int kPanelSums = kRowTiles * 4;

  GRIDMILL_DEVICE static Place place_of(int i) {
    const int lane = thread_index() % kWarp;
    return {first_output() + i / kPanelSums * kPanelOutputs + lane / 4 + i % 4 / 2 * 8,
            first_row() + i % kPanelSums / 4 * 8 + lane % 4 * 2 + i % 2};
  }

  GRIDMILL_DEVICE static void step(const std::byte* stage, int /*inputs*/, float (&sums)[kSums]) {
    const int group = thread_index() % kWarp / 4;
    const int part = thread_index() % 4;
    std::uint32_t b[kRowTiles][4];
#pragma unroll
    for (int tile = 0; tile < kRowTiles; ++tile) {
      load(stage, kTile + first_row() + tile * 8 + group, part, b[tile]);
    }
#pragma unroll
    for (int panel = 0; panel < kPanels; ++panel) {
      std::uint32_t low[4];
      std::uint32_t high[4];
      load(stage, first_output() + panel * kPanelOutputs + group, part, low);
      load(stage, first_output() + panel * kPanelOutputs + group + 8, part, high);
      const std::uint32_t a0[4] = {low[0], high[0], low[1], high[1]};
      const std::uint32_t a1[4] = {low[2], high[2], low[3], high[3]};
#pragma unroll
      for (int tile = 0; tile < kRowTiles; ++tile) {
        const std::uint32_t b0[2] = {b[tile][0], b[tile][1]};
        const std::uint32_t b1[2] = {b[tile][2], b[tile][3]};
        float* four = sums + panel * kPanelSums + tile * 4;
        mma_16816(*reinterpret_cast<float(*)[4]>(four), a0, b0);
        mma_16816(*reinterpret_cast<float(*)[4]>(four), a1, b1);
      }
    }
  }

 private:
  GRIDMILL_DEVICE static int first_output() { return thread_index() / kWarp % 2 * (kTile / 2); }
  GRIDMILL_DEVICE static int first_row() { return thread_index() / kWarp / 2 * (kTile / 4); }
  GRIDMILL_DEVICE static void load(const std::byte* stage, int line, int chunk,
                                   std::uint32_t (&pairs)[4]) {
    const auto loaded =
        *reinterpret_cast<const Chunk<std::uint32_t>*>(stage + chunk_at(line, chunk));
#pragma unroll
    for (int i = 0; i < 4; ++i) pairs[i] = loaded.value[i];
  }
};

/// A thread has one output of every panel and every 16th row, one ascending chain each.
template <>
struct Multiply<DType::fp32> {
  using Element = float;
  static constexpr int kThreadRows = kTile / 16;
  static constexpr int kPanelSums = kThreadRows;

  GRIDMILL_DEVICE static Place place_of(int i) {
    return {i / kPanelSums * kPanelOutputs + thread_index() % 16,
            i % kPanelSums * 16 + thread_index() / 16};
  }

  /// Only the `inputs` that there are: one more fma with zeros could change the sign of a zero.
  GRIDMILL_DEVICE static void step(const std::byte* stage, int inputs, float (&sums)[kSums]) {
#pragma unroll 1
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      Chunk<float> x[kThreadRows];
#pragma unroll
      for (int i = 0; i < kThreadRows; ++i) x[i] = load(stage, kTile + place_of(i).row, chunk);
#pragma unroll
      for (int panel = 0; panel < kTilePanels; ++panel) {
        const Chunk<float> w = load(stage, place_of(panel * kPanelSums).output, chunk);
#pragma unroll
        for (int k = 0; k < 4; ++k) {
          if (chunk * 4 + k >= inputs) break;
#pragma unroll
          for (int i = 0; i < kThreadRows; ++i) {
            float& sum = sums[panel * kPanelSums + i];
            sum = fmaf(x[i].value[k], w.value[k], sum);
          }
        }
      }
    }
  }

 private:
  GRIDMILL_DEVICE static Chunk<float> load(const std::byte* stage, int line, int chunk) {
    return *reinterpret_cast<const Chunk<float>*>(stage + chunk_at(line, chunk));
  }
};

GRIDMILL_DEVICE void copy_sums(const float (&from)[kSums], float (&to)[kSums]) {
#pragma unroll
  for (int i = 0; i < kSums; ++i) to[i] = from[i];
}

GRIDMILL_DEVICE void add_sums(const float (&left)[kSums], float (&sums)[kSums]) {
#pragma unroll
  for (int i = 0; i < kSums; ++i) sums[i] = left[i] + sums[i];
}

/// Joins the blocks' sums as the balanced tree does, in the order in which they are made: `sums` of
/// `block` becomes that of the largest sub-tree that ends with it, and waits until the one to its
/// right is complete: in `even` (registers) for one block, in `waiting` (local memory) for longer.
GRIDMILL_DEVICE void join(int block, int blocks, float (&sums)[kSums], float (&even)[kSums],
                          float (&waiting)[2][kSums]) {
  if (blocks == 1) return;
  if (block % 2 == 0) {
    copy_sums(sums, even);
    return;
  }
  add_sums(even, sums);
  int level = 0;
  for (int pair = block / 2; pair % 2 == 1; pair /= 2) add_sums(waiting[level++], sums);
  if (block + 1 < blocks) copy_sums(sums, waiting[level]);
}

template <DType Compute>
GRIDMILL_DEVICE void finish_tile(const ProductArgs& args, const float (&sums)[kSums]) {
  using Product = Multiply<Compute>;
  const std::int64_t first_row = static_cast<std::int64_t>(block_x()) * kTile;
  const std::int64_t first_panel = static_cast<std::int64_t>(block_y()) * kTilePanels;
  const bool gated = args.epilogue == Epilogue::gated;
#pragma unroll
  for (int i = 0; i < kSums; ++i) {
    const Place place = Product::place_of(i);
    if (first_row + place.row >= args.x.rows) continue;
    std::int64_t panel = first_panel + place.output / kPanelOutputs;
    float up = 0;
    if (gated) {
      if (panel % 2 == 1) continue;
      panel /= 2;
      up = sums[(i + Product::kPanelSums) % kSums];
    }
    finish<Compute>(args, first_row + place.row,
                    panel * kPanelOutputs + place.output % kPanelOutputs, sums[i], up);
  }
}

template <DType Compute>
GRIDMILL_KERNEL void tiled_product_kernel(ProductArgs args) {
  using Product = Multiply<Compute>;
  using TileOf = Tile<typename Product::Element>;
  std::byte* stages = shared_memory();
  const TileOf tile(args, block_x(), block_y());
  Step ahead = first_step(args, 0);
  const auto copy_next = [&](int stage) {
    tile.copy(ahead, stages + stage * kStageBytes);
    if (ahead.block == args.blocks) return;
    ahead.k += TileOf::kStepInputs;
    if (ahead.k >= ahead.end) ahead = first_step(args, ahead.block + 1);
  };
  for (int stage = 0; stage < kStages - 1; ++stage) copy_next(stage);
  int stage = 0;
  float sums[kSums];
  float even[kSums];
  float waiting[2][kSums];
  for (int block = 0; block < args.blocks; ++block) {
#pragma unroll
    for (float& sum : sums) sum = 0;
    const Slice slice = slice_of(args, block);
    for (std::int64_t k = slice.begin; k < slice.end; k += TileOf::kStepInputs) {
      copy_async_wait<kStages - 2>();
      barrier();  // this stage is there, and the one before it may be overwritten
      copy_next(stage == 0 ? kStages - 1 : stage - 1);
      const std::int64_t left = slice.end - k;
      Product::step(stages + stage * kStageBytes,
                    left < TileOf::kStepInputs ? static_cast<int>(left) : TileOf::kStepInputs,
                    sums);
      stage = stage + 1 == kStages ? 0 : stage + 1;
    }
    join(block, args.blocks, sums, even, waiting);
  }
  finish_tile<Compute>(args, sums);
}

template <DType Compute>
void launch_tiles(LaunchStream stream, const ProductArgs& args) {
  const std::int64_t panels = (args.outputs + kPanelOutputs - 1) / kPanelOutputs *
                              (args.epilogue == Epilogue::gated ? 2 : 1);
  // Neighbours share weights: those come from far, the rows of a pass lie in the second cache.
  const auto row_tiles = static_cast<unsigned>((args.x.rows + kTile - 1) / kTile);
  const auto panel_tiles = static_cast<unsigned>((panels + kTilePanels - 1) / kTilePanels);
  launch(stream, tiled_product_kernel<Compute>, {row_tiles, panel_tiles, 1}, kTileThreads,
         std::size_t{kStages} * kStageBytes, args);
}

}  // namespace

void launch_tiled_product(LaunchStream stream, DType compute_dtype, const ProductArgs& args) {
  if (compute_dtype == DType::bf16) {
    launch_tiles<DType::bf16>(stream, args);
  } else {
    launch_tiles<DType::fp32>(stream, args);
  }
}

}  // namespace gridmill::cuda
