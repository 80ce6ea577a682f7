#include <cuda_platform.hpp>

#include "kernels/cuda/experts.hpp"
#include "kernels/cuda/math.cuh"
#include "kernels/cuda/norm.cuh"

namespace gridmill::cuda {

namespace {

constexpr int kPiece = 4 * kRowThreads;
constexpr int kDotsOutputs = kRowThreads / kWarp;  ///< outputs of a thread block

GRIDMILL_KERNEL void row_dots_kernel(DotsArgs args) {
  const std::int64_t row = block_x();
  const int lane = thread_index() % kWarp;
  const std::int64_t output =
      static_cast<std::int64_t>(block_y()) * kDotsOutputs + thread_index() / kWarp;
  const bool there = output < args.out.columns;
  const std::int64_t inputs = args.x.columns;
  const float* x = args.x.data + row * args.x.stride;
  const float* w = args.weights.data + (there ? output * inputs : 0);
  float sum = 0.0F;
  for (std::int64_t i = lane; i < inputs; i += kWarp) sum = fmaf(x[i], w[i], sum);
  sum = warp_sum(sum);
  if (!there || lane != 0) return;
  if (args.bias.size != 0) sum = sum + args.bias.data[output];
  args.out.data[row * args.out.stride + output] = sum;
}

template <DType Compute>
GRIDMILL_KERNEL void gather_kernel(GatherArgs args) {
  const std::int64_t row = block_x();
  const std::int64_t source = args.rows[row];
  if (source < 0) return;
  const std::int64_t stride = padded_inputs(args.out.inputs);
  const std::int64_t begin = static_cast<std::int64_t>(block_y()) * kPiece;
  for (std::int64_t i = begin + thread_index(); i < begin + kPiece && i < stride;
       i += kRowThreads) {
    const float value = i < args.x.columns ? args.x.data[source * args.x.stride + i] : 0.0F;
    store_element<Compute>(args.out.data, row * stride + i, value);
  }
}

GRIDMILL_KERNEL void clear_kernel(ClearArgs args) {
  const std::int64_t row = block_x();
  const std::int64_t begin = static_cast<std::int64_t>(block_y()) * kPiece;
  for (std::int64_t i = begin + thread_index(); i < begin + kPiece && i < args.out.columns;
       i += kRowThreads) {
    args.out.data[row * args.out.stride + i] = 0.0F;
  }
}

LaunchGrid pieces(std::int64_t rows, std::int64_t columns) {
  return {static_cast<unsigned>(rows), static_cast<unsigned>((columns + kPiece - 1) / kPiece), 1};
}

}  // namespace

void launch_row_dots(LaunchStream stream, const DotsArgs& args) {
  const std::int64_t tiles = (args.out.columns + kDotsOutputs - 1) / kDotsOutputs;
  launch(stream, row_dots_kernel,
         {static_cast<unsigned>(args.out.rows), static_cast<unsigned>(tiles), 1}, kRowThreads, 0,
         args);
}

void launch_gather(LaunchStream stream, DType compute_dtype, const GatherArgs& args) {
  launch(stream,
         compute_dtype == DType::bf16 ? gather_kernel<DType::bf16> : gather_kernel<DType::fp32>,
         pieces(args.out.rows, padded_inputs(args.out.inputs)), kRowThreads, 0, args);
}

void launch_clear(LaunchStream stream, const ClearArgs& args) {
  launch(stream, clear_kernel, pieces(args.out.rows, args.out.columns), kRowThreads, 0, args);
}

}  // namespace gridmill::cuda
