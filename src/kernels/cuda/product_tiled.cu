// y = W x for many rows: the sums of product.cu, in its order, so that both kernels give a row the
// same bits. A thread block owns a tile of outputs and rows and goes through all inputs,
// one block of them after the other. Inputs come in steps of 64 bytes a line through three stages
// of shared memory, two of them in flight while the third is multiplied.
#include <cuda_platform.hpp>

#include "kernels/cuda/fragment.cuh"
#include "kernels/cuda/product.cuh"
#include "kernels/cuda/reduce.cuh"

namespace gridmill::cuda {

namespace {

constexpr int kChunk = 16;  ///< bytes that a thread copies at a time
constexpr int kChunks = 4;  ///< of a line in a step
constexpr int kLineBytes = kChunk * kChunks;
constexpr int kStages = 3;

/// How large a tile is and who makes it; the bits are the same.
template <int Outputs, int Rows, int Threads>
struct TileShape {
  static constexpr int kOutputs = Outputs;
  static constexpr int kPanels = Outputs / kPanelOutputs;
  static constexpr int kRows = Rows;
  static constexpr int kThreads = Threads;
  static constexpr int kLines = Outputs + Rows;  ///< of a stage: weights, then rows
  static constexpr int kStageBytes = kLines * kLineBytes;
  static constexpr int kSums = Outputs * Rows / Threads;  ///< of a thread
  /// Whether the sums of a block that waits for the next one are in shared memory, not in
  /// registers.
  static constexpr bool kWaitsInShared = kSums > 64;
  static constexpr std::size_t kSharedBytes =
      std::size_t{kStages} * kStageBytes + (kWaitsInShared ? sizeof(float) * Outputs * Rows : 0);
};

/// The larger a warp's share of the sums, the less it reads of shared memory for each of them.
using Small = TileShape<64, 64, 128>;     ///< 32 x 32 a warp; where there would be few of others
using Narrow = TileShape<128, 128, 256>;  ///< 64 x 32 a warp; for every device
using Square = TileShape<128, 128, 128>;  ///< 64 x 64; two thread blocks on a multiprocessor
using Tall = TileShape<128, 256, 256>;    ///< 64 x 64; less traffic with the second cache

/// Where a chunk of a line lies in a stage. Neighbouring pairs of lines are rotated against each
/// other, so that 8 lanes that read the same chunk of 8 lines meet every bank once.
GRIDMILL_DEVICE int chunk_at(int line, int chunk) {
  return line * kLineBytes + (chunk ^ (line / 2 % kChunks)) * kChunk;
}

template <typename T>
struct alignas(kChunk) Chunk {
  T value[kChunk / sizeof(T)];
};

/// The first `left` inputs of a chunk that begins anywhere; the others 0.
template <typename T>
GRIDMILL_DEVICE Chunk<T> load_chunk(const T* inputs, std::int64_t left) {
  Chunk<T> chunk{};
#pragma unroll
  for (int i = 0; i < kChunk / static_cast<int>(sizeof(T)); ++i) {
    if (i < left) chunk.value[i] = inputs[i];
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

/// `Aligned`: every block begins at a chunk.
template <typename T, typename Shape, bool Aligned>
class Tile {
 public:
  static constexpr int kStepInputs = kLineBytes / static_cast<int>(sizeof(T));
  static constexpr int kChunkInputs = kStepInputs / kChunks;

  /// A thread copies one chunk of every (threads / 4)-th line. Where the tile hangs over, it has
  /// the first panel, or row, again: the sums are not stored.
  GRIDMILL_DEVICE Tile(const ProductArgs& args, int row_tile, int panel_tile) : args_(args) {
    const std::int64_t stride = padded_inputs(args.x.inputs);
    const std::int64_t first_panel = static_cast<std::int64_t>(panel_tile) * Shape::kPanels;
    const std::int64_t first_row = static_cast<std::int64_t>(row_tile) * Shape::kRows;
#pragma unroll
    for (int i = 0; i < kThreadLines; ++i) {
      const int line = line_of(i);
      const T* begin = nullptr;
      if (i < kWeightLines) {
        const std::byte* panel = panel_of(args.weight, first_panel + line / kPanelOutputs);
        if (panel == nullptr) panel = panel_of(args.weight, first_panel);
        begin = reinterpret_cast<const T*>(panel) + line % kPanelOutputs * stride;
      } else {
        const std::int64_t row = first_row + line - Shape::kOutputs;
        begin = reinterpret_cast<const T*>(args.x.data) +
                (row < args.x.rows ? row : first_row) * stride;
      }
      lines_[i] = begin + thread_index() % kChunks * kChunkInputs;
    }
  }

  /// Starts to copy a step's inputs into a stage, if there is one, and closes the group. Behind the
  /// last input of a line there is padding.
  GRIDMILL_DEVICE void copy(const Step& step, std::byte* stage) const {
    if (step.block < args_.blocks) {
      const int chunk = thread_index() % kChunks;
      const std::int64_t left = step.end - step.k - chunk * kChunkInputs;
      std::byte* target = stage + chunk_at(line_of(0), chunk);
#pragma unroll
      for (int i = 0; i < kThreadLines; ++i) {
        if constexpr (Aligned) {
          copy_async(target, reinterpret_cast<const std::byte*>(lines_[i] + step.k), left > 0);
        } else {
          *reinterpret_cast<Chunk<T>*>(target) = load_chunk(lines_[i] + step.k, left);
        }
        target += kApart * kLineBytes;
      }
    }
    copy_async_commit();
  }

 private:
  static constexpr int kApart = Shape::kThreads / kChunks;  ///< lines of a thread
  static constexpr int kThreadLines = Shape::kLines / kApart;
  static constexpr int kWeightLines = Shape::kOutputs / kApart;
  static_assert(kApart % (2 * kChunks) == 0, "chunks of a thread's lines are rotated alike");

  GRIDMILL_DEVICE static int line_of(int i) { return thread_index() / kChunks + i * kApart; }

  const ProductArgs& args_;
  const T* lines_[kThreadLines];  ///< from the thread's chunk of a step on
};

/// Where in the tile one of a thread's sums belongs. In both layouts the sum of the same place in
/// the next panel is kPanelSums further on.
struct Place {
  int output;
  int row;
};

template <DType Compute, typename Shape>
struct Multiply;

/// Tensor cores: two warps share a tile's outputs, the others its rows. The inputs of a step stand
/// in the same places of the same two instructions as in product.cu.
template <typename Shape>
struct Multiply<DType::bf16, Shape> {
  using Element = Bf16;
  static constexpr int kSums = Shape::kSums;
  static constexpr int kPanels = Shape::kPanels / 2;
  static constexpr int kPanelSums = kSums / kPanels;
  static constexpr int kRowTiles = kPanelSums / 4;

  GRIDMILL_DEVICE static Place place_of(int i) {
    const int lane = thread_index() % kWarp;
    return {first_output() + i / kPanelSums * kPanelOutputs + lane / 4 + i % 4 / 2 * 8,
            first_row() + i % kPanelSums / 4 * 8 + lane % 4 * 2 + i % 2};
  }

  GRIDMILL_DEVICE static void step(const std::byte* stage, int /*inputs*/, float (&sums)[kSums]) {
    const int group = thread_index() % kWarp / 4;
    const int part = thread_index() % 4;
    Eight rows[kRowTiles];
#pragma unroll
    for (int tile = 0; tile < kRowTiles; ++tile) {
      rows[tile] = load(stage, Shape::kOutputs + first_row() + tile * 8 + group, part);
    }
#pragma unroll
    for (int panel = 0; panel < kPanels; ++panel) {
      const int output = first_output() + panel * kPanelOutputs + group;
      const Eight low = load(stage, output, part);
      const Eight high = load(stage, output + 8, part);
      // Half of the inputs of all tiles before the other half: a product does not wait for the one
      // before.
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const std::uint32_t a[4] = {low.pair[2 * half], high.pair[2 * half], low.pair[2 * half + 1],
                                    high.pair[2 * half + 1]};
#pragma unroll
        for (int tile = 0; tile < kRowTiles; ++tile) {
          const std::uint32_t b[2] = {rows[tile].pair[2 * half], rows[tile].pair[2 * half + 1]};
          float* four = sums + panel * kPanelSums + tile * 4;
          mma_16816(*reinterpret_cast<float(*)[4]>(four), a, b);
        }
      }
    }
  }

 private:
  GRIDMILL_DEVICE static int first_output() {
    return thread_index() / kWarp % 2 * (Shape::kOutputs / 2);
  }
  GRIDMILL_DEVICE static int first_row() { return thread_index() / kWarp / 2 * (8 * kRowTiles); }
  GRIDMILL_DEVICE static Eight load(const std::byte* stage, int line, int chunk) {
    return *reinterpret_cast<const Eight*>(stage + chunk_at(line, chunk));
  }
};

/// A thread has one output of every panel and every 16th row, one ascending chain each.
template <>
struct Multiply<DType::fp32, Narrow> {
  using Element = float;
  static constexpr int kSums = Narrow::kSums;
  static constexpr int kThreadRows = Narrow::kRows / 16;
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
      for (int i = 0; i < kThreadRows; ++i)
        x[i] = load(stage, Narrow::kOutputs + place_of(i).row, chunk);
#pragma unroll
      for (int panel = 0; panel < Narrow::kPanels; ++panel) {
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

template <int Sums>
GRIDMILL_DEVICE void copy_sums(const float (&from)[Sums], float (&to)[Sums]) {
#pragma unroll
  for (int i = 0; i < Sums; ++i) to[i] = from[i];
}

template <int Sums>
GRIDMILL_DEVICE void add_sums(const float (&left)[Sums], float (&sums)[Sums]) {
#pragma unroll
  for (int i = 0; i < Sums; ++i) sums[i] = left[i] + sums[i];
}

/// Sums of one block of inputs that wait for the next block's.
template <typename Shape, bool InShared = Shape::kWaitsInShared>
class EvenSums {
 public:
  GRIDMILL_DEVICE explicit EvenSums(std::byte* /*shared*/) {}
  GRIDMILL_DEVICE void put(const float (&sums)[Shape::kSums]) { copy_sums(sums, sums_); }
  GRIDMILL_DEVICE void add_to(float (&sums)[Shape::kSums]) const { add_sums(sums_, sums); }

 private:
  float sums_[Shape::kSums];
};

template <typename Shape>
class EvenSums<Shape, true> {
 public:
  GRIDMILL_DEVICE explicit EvenSums(std::byte* shared)
      : own_(reinterpret_cast<float*>(shared) + thread_index()) {}
  GRIDMILL_DEVICE void put(const float (&sums)[Shape::kSums]) {
#pragma unroll
    for (int i = 0; i < Shape::kSums; ++i) own_[i * Shape::kThreads] = sums[i];
  }
  GRIDMILL_DEVICE void add_to(float (&sums)[Shape::kSums]) const {
#pragma unroll
    for (int i = 0; i < Shape::kSums; ++i) sums[i] = own_[i * Shape::kThreads] + sums[i];
  }
  GRIDMILL_DEVICE float get(int i) const { return own_[i * Shape::kThreads]; }

 private:
  float* own_;  ///< one of as many as there are threads is this thread's
};

/// Joins the blocks' sums as the balanced tree does, in the order in which they are made: `sums` of
/// `block` becomes that of the largest sub-tree that ends with it, and waits until the one to its
/// right is complete: in `even` for one block, in `waiting` (local memory) for longer.
template <typename Shape>
GRIDMILL_DEVICE void join(int block, int blocks, float (&sums)[Shape::kSums], EvenSums<Shape>& even,
                          float (&waiting)[2][Shape::kSums]) {
  if (blocks == 1) return;
  if (block % 2 == 0) return even.put(sums);
  even.add_to(sums);
  int level = 0;
  for (int pair = block / 2; pair % 2 == 1; pair /= 2) add_sums(waiting[level++], sums);
  if (block + 1 < blocks) copy_sums(sums, waiting[level]);
}

/// Epilogue of the sums; sum(i) is the thread's i-th. It is a loop, since the code of every
/// activation for every sum would fill the caches of instructions.
template <DType Compute, typename Shape, typename Sum>
GRIDMILL_DEVICE void finish_tile(const ProductArgs& args, const Sum& sum) {
  using Product = Multiply<Compute, Shape>;
  const std::int64_t first_row = static_cast<std::int64_t>(block_x()) * Shape::kRows;
  const std::int64_t first_panel = static_cast<std::int64_t>(block_y()) * Shape::kPanels;
  const bool gated = args.epilogue == Epilogue::gated;
#pragma unroll 2
  for (int i = 0; i < Shape::kSums; ++i) {
    const Place place = Product::place_of(i);
    if (first_row + place.row >= args.x.rows) continue;
    std::int64_t panel = first_panel + place.output / kPanelOutputs;
    float up = 0;
    if (gated) {
      if (panel % 2 == 1) continue;
      panel /= 2;
      up = sum(i + Product::kPanelSums);
    }
    finish<Compute>(args, first_row + place.row,
                    panel * kPanelOutputs + place.output % kPanelOutputs, sum(i), up);
  }
}

template <DType Compute, typename Shape, bool Aligned>
GRIDMILL_KERNEL void tiled_product_kernel(ProductArgs args) {
  using Product = Multiply<Compute, Shape>;
  using TileOf = Tile<typename Product::Element, Shape, Aligned>;
  constexpr int kStageBytes = Shape::kStageBytes;
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
  float sums[Shape::kSums];
  EvenSums<Shape> even(stages + kStages * kStageBytes);
  float waiting[2][Shape::kSums];
  static_assert(sizeof waiting <= kTiledLocalBytes);
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
    join<Shape>(block, args.blocks, sums, even, waiting);
  }
  if constexpr (Shape::kWaitsInShared) {
    even.put(sums);
    finish_tile<Compute, Shape>(args, [&](int i) { return even.get(i); });
  } else {
    copy_sums(sums, waiting[0]);
    finish_tile<Compute, Shape>(args, [&](int i) { return waiting[0][i]; });
  }
}

/// Thread blocks of a product: tiles of rows, tiles of outputs. Neighbours share weights: those
/// come from far, the rows of a pass lie in the second cache.
template <typename Shape>
LaunchGrid grid_of(const ProductArgs& args) {
  const std::int64_t panels = (args.outputs + kPanelOutputs - 1) / kPanelOutputs *
                              (args.epilogue == Epilogue::gated ? 2 : 1);
  return {static_cast<unsigned>((args.x.rows + Shape::kRows - 1) / Shape::kRows),
          static_cast<unsigned>((panels + Shape::kPanels - 1) / Shape::kPanels), 1};
}

template <DType Compute, typename Shape, bool Aligned = true>
void launch_tiles(LaunchStream stream, const ProductArgs& args) {
  launch(stream, tiled_product_kernel<Compute, Shape, Aligned>, grid_of<Shape>(args),
         Shape::kThreads, Shape::kSharedBytes, args);
}

}  // namespace

void launch_tiled_product(LaunchStream stream, DType compute_dtype, const ProductArgs& args) {
  const bool bf16 = compute_dtype == DType::bf16;
  if (args.block_inputs * static_cast<std::int64_t>(size_of(compute_dtype)) % kChunk != 0) {
    return bf16 ? launch_tiles<DType::bf16, Narrow, false>(stream, args)
                : launch_tiles<DType::fp32, Narrow, false>(stream, args);
  }
  if (!bf16) return launch_tiles<DType::fp32, Narrow>(stream, args);
  constexpr std::size_t kReserved = 1024;  // of each thread block
  const Multiprocessors device = multiprocessors();
  // Enough tiles that few multiprocessors are without one at the end.
  const auto fills = [&](const LaunchGrid& grid) {
    return 2 * std::int64_t{grid.x} * grid.y >= 3 * std::int64_t{device.count};
  };
  if (!fills(grid_of<Square>(args))) return launch_tiles<DType::bf16, Small>(stream, args);
  if (device.shared_bytes < 2 * (Square::kSharedBytes + kReserved)) {
    return launch_tiles<DType::bf16, Narrow>(stream, args);
  }
  if (fills(grid_of<Tall>(args))) return launch_tiles<DType::bf16, Tall>(stream, args);
  launch_tiles<DType::bf16, Square>(stream, args);
}

}  // namespace gridmill::cuda
