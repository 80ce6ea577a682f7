// Before attention: norm and rotation of queries and keys, and the append of keys and values to the
// paged cache.
#include <cuda_platform.hpp>

#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/norm.cuh"

namespace gridmill::cuda {

namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / kWarp;

/// A warp's head: norm, then rotation in place.
GRIDMILL_DEVICE void rotate_head(const AttendArgs& args, float* x, const ConstDeviceVector& weight,
                                 std::int64_t position) {
  const Attention& attention = args.attention;
  const int lane = thread_index() % kWarp;
  const int half = attention.head_dim / 2;
  float factor = 1.0F;
  if (weight.size != 0) {
    float squares = 0.0F;
    for (int i = lane; i < attention.head_dim; i += kWarp) squares = fmaf(x[i], x[i], squares);
    factor = 1.0F /
             sqrtf(warp_sum(squares) / static_cast<float>(attention.head_dim) + attention.norm_eps);
  }
  const float* cosines = attention.rotary.data + position * attention.rotary.stride;
  const float* sines = cosines + half;
  for (int i = lane; i < half; i += kWarp) {
    float a = x[i];
    float b = x[i + half];
    if (weight.size != 0) {
      a = a * factor * weight.data[i];
      b = b * factor * weight.data[i + half];
    }
    x[i] = fmaf(a, cosines[i], -(b * sines[i]));
    x[i + half] = fmaf(b, cosines[i], a * sines[i]);
  }
  warp_barrier();  // other lanes read on
}

/// A warp for every row and head.
template <DType Compute>
GRIDMILL_KERNEL void rotate_kernel(AttendArgs args) {
  using E = Element<Compute>;
  const Attention& attention = args.attention;
  const std::int64_t row = block_x();
  const RowPlace place = args.places[row];
  if (place.slot < 0) return;
  const int lane = thread_index() % kWarp;
  const int heads = attention.heads + 2 * attention.kv_heads;
  const std::int64_t width = static_cast<std::int64_t>(attention.heads) * attention.head_dim;
  const int h = block_y() * kWarps + thread_index() / kWarp;
  if (h >= heads) return;
  float* x =
      args.qkv.data + row * args.qkv.stride + static_cast<std::int64_t>(h) * attention.head_dim;
  if (h < attention.heads) {
    rotate_head(args, x, attention.q_norm, place.position);
    for (int i = lane; i < attention.head_dim; i += kWarp) {
      if (attends_on_tensor_cores(Compute, attention.head_dim)) {
        store_element<Compute>(args.out.data, row * width + h * attention.head_dim + i, x[i]);
      } else {
        x[i] = E::load(E::round(x[i]));
      }
    }
    return;
  }
  const int value = h < attention.heads + attention.kv_heads ? 0 : 1;
  if (value == 0) rotate_head(args, x, attention.k_norm, place.position);
  const int kv_head = h - attention.heads - value * attention.kv_heads;
  const std::int64_t in_page = place.position % kPagePositions;
  const std::int64_t first = head_of(args, place.slot, place.position, value, kv_head) +
                             (value == 0 ? in_page * attention.head_dim : in_page);
  const int stride = value == 0 ? 1 : kPagePositions;
  for (int i = lane; i < attention.head_dim; i += kWarp) {
    store_element<Compute>(args.pages.memory, first + i * stride, x[i]);
  }
}

}  // namespace

void launch_rotate(LaunchStream stream, DType compute_dtype, const AttendArgs& args) {
  const int heads = args.attention.heads + 2 * args.attention.kv_heads;
  const auto blocks = static_cast<unsigned>((heads + kWarps - 1) / kWarps);
  launch(stream,
         compute_dtype == DType::bf16 ? rotate_kernel<DType::bf16> : rotate_kernel<DType::fp32>,
         {static_cast<unsigned>(args.qkv.rows), blocks, 1}, kThreads, 0, args);
}

}  // namespace gridmill::cuda
