// Before attention: norm and rotation of queries and keys, and the append of keys and values to the
// paged cache.
#include <cuda_platform.hpp>

#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/norm.cuh"

namespace gridmill::cuda {

namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / kWarp;

GRIDMILL_DEVICE float clamped(float x, float clip) {
  if (clip == 0.0F) return x;
  if (x > clip) return clip;
  return x < -clip ? -clip : x;
}

/// Steps for an element of a warp's head: norm and clamp.
struct HeadNorm {
  const float* weight = nullptr;  ///< nullptr: no norm
  float mean = 0.0F;
  float factor = 1.0F;
  float clip = 0.0F;

  GRIDMILL_DEVICE float of(float x, int i) const {
    if (weight != nullptr) x = (x - mean) * factor * weight[i];
    return clamped(x, clip);
  }
};

GRIDMILL_DEVICE HeadNorm head_norm(const Attention& attention, const float* x,
                                   const ConstDeviceVector& weight, int head) {
  HeadNorm norm;
  norm.clip = attention.clip;
  if (weight.size == 0) return norm;
  const int lane = thread_index() % kWarp;
  const int width = attention.head_dim;
  const auto count = static_cast<float>(width);
  norm.weight = weight.data + (weight.size > width ? head * width : 0);
  if (attention.norm_kind == NormKind::layer) {
    float sum = 0.0F;
    for (int i = lane; i < width; i += kWarp) sum = sum + x[i];
    norm.mean = warp_sum(sum) / count;
  }
  float squares = 0.0F;
  for (int i = lane; i < width; i += kWarp) {
    const float d = x[i] - norm.mean;
    squares = fmaf(d, d, squares);
  }
  norm.factor = 1.0F / sqrtf(warp_sum(squares) / count + attention.norm_eps);
  return norm;
}

/// A warp's head: norm, clamp, then rotation in place.
GRIDMILL_DEVICE void rotate_head(const AttendArgs& args, float* x, const ConstDeviceVector& weight,
                                 int head, const RowPlace& place) {
  const Attention& attention = args.attention;
  const int lane = thread_index() % kWarp;
  const HeadNorm norm = head_norm(attention, x, weight, head);
  const ConstDeviceMatrix& rotary = place.long_row != 0 ? attention.long_rotary : attention.rotary;
  const int half = rotary.data == nullptr ? 0 : static_cast<int>(rotary.columns / 2);
  const float* cosines = rotary.data + place.position * rotary.stride;
  const float* sines = cosines + half;
  for (int i = lane; i < half; i += kWarp) {
    const float a = norm.of(x[i], i);
    const float b = norm.of(x[i + half], i + half);
    x[i] = fmaf(a, cosines[i], -(b * sines[i]));
    x[i + half] = fmaf(b, cosines[i], a * sines[i]);
  }
  for (int i = 2 * half + lane; i < attention.head_dim; i += kWarp) x[i] = norm.of(x[i], i);
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
    rotate_head(args, x, attention.q_norm, h, place);
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
  const int kv_head = h - attention.heads - value * attention.kv_heads;
  if (value == 0) rotate_head(args, x, attention.k_norm, kv_head, place);
  const std::int64_t in_page = place.position % kPagePositions;
  const std::int64_t first = head_of(args, place.slot, place.position, value, kv_head) +
                             (value == 0 ? in_page * attention.head_dim : in_page);
  const int stride = value == 0 ? 1 : kPagePositions;
  for (int i = lane; i < attention.head_dim; i += kWarp) {
    const float element = value == 0 ? x[i] : clamped(x[i], attention.clip);
    store_element<Compute>(args.pages.memory, first + i * stride, element);
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
