// Causal attention over a paged cache. Keys are visited in blocks of 64 at absolute positions, 8
// blocks a thread block; the thread blocks of a row join in ascending order. So the order of every
// sum depends on the position alone: neither on the batch nor on how a prompt was cut.
#include <cuda_platform.hpp>

#include "kernels/cuda/attention.hpp"
#include "kernels/cuda/math.cuh"
#include "kernels/cuda/norm.cuh"
#include "kernels/cuda/panels.hpp"

namespace gridmill::cuda {

namespace {

constexpr int kAttendThreads = 128;
constexpr int kAttendWarps = kAttendThreads / kWarp;
constexpr int kLaneDims = kMostHeadDim / kWarp;

/// First element of a position in a page.
GRIDMILL_DEVICE std::int64_t element_of(const AttendArgs& args, SlotId slot, std::int64_t position,
                                        int value, int kv_head) {
  const std::int32_t page =
      args.pages.table[static_cast<std::int64_t>(slot) * args.pages.slot_pages +
                       position / kPagePositions];
  const std::int64_t head =
      static_cast<std::int64_t>(value * args.attention.kv_heads + kv_head) * kPagePositions +
      position % kPagePositions;
  return page * args.pages.page_elements + args.layer * args.pages.layer_elements +
         head * args.attention.head_dim;
}

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

template <DType Compute>
GRIDMILL_KERNEL void rotate_kernel(AttendArgs args) {
  using E = Element<Compute>;
  const Attention& attention = args.attention;
  const std::int64_t row = block_x();
  const RowPlace place = args.places[row];
  if (place.slot < 0) return;
  const int lane = thread_index() % kWarp;
  const int heads = attention.heads + 2 * attention.kv_heads;
  for (int h = thread_index() / kWarp; h < heads; h += kAttendWarps) {
    float* x =
        args.qkv.data + row * args.qkv.stride + static_cast<std::int64_t>(h) * attention.head_dim;
    if (h < attention.heads) {
      rotate_head(args, x, attention.q_norm, place.position);
      for (int i = lane; i < attention.head_dim; i += kWarp) x[i] = E::load(E::round(x[i]));
      continue;
    }
    const int value = h < attention.heads + attention.kv_heads ? 0 : 1;
    if (value == 0) rotate_head(args, x, attention.k_norm, place.position);
    const int kv_head = h - attention.heads - value * attention.kv_heads;
    const std::int64_t target = element_of(args, place.slot, place.position, value, kv_head);
    for (int i = lane; i < attention.head_dim; i += kWarp) {
      store_element<Compute>(args.pages.memory, target + i, x[i]);
    }
  }
}

struct Shared {
  float* scores;  ///< [heads of the group][64]: scores, then probabilities
  float* sums;    ///< [heads of the group][head_dim]
  float* scale;   ///< [heads of the group]: factor of what was there before the block
  float* max;     ///< [heads of the group]
  float* norm;    ///< [heads of the group]
};

GRIDMILL_DEVICE Shared shared_of(int group, int head_dim) {
  Shared shared{};
  shared.scores = reinterpret_cast<float*>(shared_memory());
  shared.sums = shared.scores + group * kPagePositions;
  shared.scale = shared.sums + group * head_dim;
  shared.max = shared.scale + group;
  shared.norm = shared.max + group;
  return shared;
}

constexpr std::size_t shared_bytes(int group, int head_dim) {
  return sizeof(float) * static_cast<std::size_t>(group * (kPagePositions + head_dim + 3));
}

/// Query heads [first, first + count) that a thread block takes: a group of one kv head.
struct Group {
  int kv_head;
  int first;
  int count;
};

constexpr int group_size(int heads, int kv_heads) {
  const int per_kv = heads / kv_heads;
  return per_kv < kMostGroupHeads ? per_kv : kMostGroupHeads;
}

GRIDMILL_DEVICE Group group_of(const Attention& attention, int index) {
  const int per_kv = attention.heads / attention.kv_heads;
  const int size = group_size(attention.heads, attention.kv_heads);
  const int groups = (per_kv + size - 1) / size;
  Group group{};
  group.kv_head = index / groups;
  const int first = index % groups * size;
  group.first = group.kv_head * per_kv + first;
  group.count = per_kv - first < size ? per_kv - first : size;
  return group;
}

/// Keys [begin, end) that a row sees in one split; empty if it has none there.
struct Visible {
  std::int64_t begin;
  std::int64_t end;
};

GRIDMILL_DEVICE std::int64_t first_visible(const Attention& attention, std::int64_t position) {
  return attention.window > 0 && position >= attention.window ? position - attention.window + 1 : 0;
}

GRIDMILL_DEVICE Visible visible_of(const Attention& attention, std::int64_t position, int split) {
  const std::int64_t first = first_visible(attention, position);
  const std::int64_t begin = (first / kSplitPositions + split) * kSplitPositions;
  const std::int64_t end = begin + kSplitPositions;
  return {begin > first ? begin : first, end < position + 1 ? end : position + 1};
}

/// Scores of keys [begin, end) of one page, a warp a key.
template <DType Compute>
GRIDMILL_DEVICE void score_page(const AttendArgs& args, const Group& group, const float* queries,
                                SlotId slot, Visible page, const Shared& shared) {
  const int head_dim = args.attention.head_dim;
  const int lane = thread_index() % kWarp;
  const std::int64_t keys = element_of(args, slot, page.begin, 0, group.kv_head);
  for (std::int64_t j = page.begin + thread_index() / kWarp; j < page.end; j += kAttendWarps) {
    const std::int64_t key = keys + (j - page.begin) * head_dim;
    float k[kLaneDims] = {};
#pragma unroll
    for (int i = 0; i < kLaneDims; ++i) {
      const int d = lane + kWarp * i;
      if (d < head_dim) k[i] = load_element<Compute>(args.pages.memory, key + d);
    }
    for (int g = 0; g < group.count; ++g) {
      const float* q = queries + g * head_dim;
      float sum = 0.0F;
#pragma unroll
      for (int i = 0; i < kLaneDims; ++i) {
        const int d = lane + kWarp * i;
        if (d < head_dim) sum = fmaf(q[d], k[i], sum);
      }
      sum = warp_sum(sum);
      if (lane == 0)
        shared.scores[g * kPagePositions + j % kPagePositions] = sum * args.attention.scale;
    }
  }
}

/// Probabilities of one page, a warp a head: lane l takes keys l and l + 32 of the page.
GRIDMILL_DEVICE void weigh_page(const Group& group, Visible page, const Shared& shared) {
  const int lane = thread_index() % kWarp;
  const int first = static_cast<int>(page.begin % kPagePositions);
  const int end = first + static_cast<int>(page.end - page.begin);
  for (int g = thread_index() / kWarp; g < group.count; g += kAttendWarps) {
    float* scores = shared.scores + g * kPagePositions;
    const bool low = lane >= first && lane < end;
    const bool high = lane + kWarp >= first && lane + kWarp < end;
    float largest = shared.max[g];
    if (low) largest = larger_of(largest, scores[lane]);
    if (high) largest = larger_of(largest, scores[lane + kWarp]);
    largest = warp_largest(largest);
    const float p_low = low ? exp_of(scores[lane] - largest) : 0.0F;
    const float p_high = high ? exp_of(scores[lane + kWarp] - largest) : 0.0F;
    const float sum = warp_sum(p_low + p_high);  // every lane has read the old maximum by now
    scores[lane] = p_low;
    scores[lane + kWarp] = p_high;
    if (lane == 0) {
      const float scale = exp_of(shared.max[g] - largest);
      shared.scale[g] = scale;
      shared.norm[g] = fmaf(shared.norm[g], scale, sum);
      shared.max[g] = largest;
    }
  }
}

/// One row, the query heads of one group, one split.
template <DType Compute>
GRIDMILL_KERNEL void split_kernel(AttendArgs args) {
  const Attention& attention = args.attention;
  const std::int64_t row = args.first_row + block_x();
  const RowPlace place = args.places[row];
  if (place.slot < 0) return;
  const Visible visible = visible_of(attention, place.position, block_z());
  if (visible.begin >= visible.end) return;
  const Group group = group_of(attention, block_y());
  const int head_dim = attention.head_dim;
  const Shared shared = shared_of(group_size(attention.heads, attention.kv_heads), head_dim);
  const float* queries =
      args.qkv.data + row * args.qkv.stride + static_cast<std::int64_t>(group.first) * head_dim;
  for (int i = thread_index(); i < group.count * head_dim; i += kAttendThreads)
    shared.sums[i] = 0.0F;
  if (thread_index() < group.count) {
    shared.max[thread_index()] = -infinity();
    shared.norm[thread_index()] = 0.0F;
  }
  std::int64_t begin = visible.begin;
  while (begin < visible.end) {
    std::int64_t end = (begin / kPagePositions + 1) * kPagePositions;
    if (end > visible.end) end = visible.end;
    const Visible page{begin, end};
    score_page<Compute>(args, group, queries, place.slot, page, shared);
    barrier();
    weigh_page(group, page, shared);
    barrier();
    const std::int64_t values = element_of(args, place.slot, begin, 1, group.kv_head);
    for (int i = thread_index(); i < group.count * head_dim; i += kAttendThreads) {
      const int g = i / head_dim;
      const int d = i % head_dim;
      const float* p = shared.scores + g * kPagePositions + begin % kPagePositions;
      float sum = shared.sums[i] * shared.scale[g];
      for (std::int64_t j = 0; j < end - begin; ++j) {
        sum = fmaf(p[j], load_element<Compute>(args.pages.memory, values + j * head_dim + d), sum);
      }
      shared.sums[i] = sum;
    }
    barrier();
    begin = end;
  }
  for (int i = thread_index(); i < group.count * head_dim; i += kAttendThreads) {
    const std::int64_t at =
        ((static_cast<std::int64_t>(block_x()) * attention.heads + group.first + i / head_dim) *
             args.splits +
         block_z());
    args.partial_sums[at * head_dim + i % head_dim] = shared.sums[i];
    if (i % head_dim == 0) {
      args.partial_norms[2 * at] = shared.max[i / head_dim];
      args.partial_norms[2 * at + 1] = shared.norm[i / head_dim];
    }
  }
}

/// Joins the splits of one row and head in ascending order.
template <DType Compute>
GRIDMILL_KERNEL void join_splits_kernel(AttendArgs args) {
  const Attention& attention = args.attention;
  const int head_dim = attention.head_dim;
  const std::int64_t row = args.first_row + block_x();
  const int head = block_y();
  const std::int64_t width = static_cast<std::int64_t>(attention.heads) * head_dim;
  std::byte* out = args.out.data;
  const std::int64_t stride = padded_inputs(width);
  const RowPlace place = args.places[row];
  if (place.slot < 0) return;
  const std::int64_t at =
      (static_cast<std::int64_t>(block_x()) * attention.heads + head) * args.splits;
  const int splits = attention_splits(place.position, attention.window);
  const float* norms = args.partial_norms + 2 * at;
  const float* sums = args.partial_sums + at * head_dim;
  for (int d = thread_index(); d < head_dim; d += kAttendThreads) {
    float max = norms[0];
    float norm = norms[1];
    float sum = sums[d];
    for (int s = 1; s < splits; ++s) {
      const float largest = larger_of(max, norms[2 * s]);
      const float before = exp_of(max - largest);
      const float here = exp_of(norms[2 * s] - largest);
      norm = fmaf(norm, before, norms[2 * s + 1] * here);
      sum = fmaf(sum, before, sums[s * head_dim + d] * here);
      max = largest;
    }
    store_element<Compute>(out, row * stride + head * head_dim + d, sum / norm);
  }
  if (head == attention.heads - 1) {
    for (std::int64_t i = width + thread_index(); i < stride; i += kAttendThreads) {
      store_element<Compute>(out, row * stride + i, 0.0F);
    }
  }
}

}  // namespace

void launch_rotate(LaunchStream stream, DType compute_dtype, const AttendArgs& args) {
  launch(stream,
         compute_dtype == DType::bf16 ? rotate_kernel<DType::bf16> : rotate_kernel<DType::fp32>,
         {static_cast<unsigned>(args.qkv.rows), 1, 1}, kAttendThreads, 0, args);
}

void launch_attend(LaunchStream stream, DType compute_dtype, const AttendArgs& args) {
  const bool bf16 = compute_dtype == DType::bf16;
  const Attention& attention = args.attention;
  const int size = group_size(attention.heads, attention.kv_heads);
  const int groups = (attention.heads / attention.kv_heads + size - 1) / size;
  const auto rows = static_cast<unsigned>(args.rows);
  launch(stream, bf16 ? split_kernel<DType::bf16> : split_kernel<DType::fp32>,
         {rows, static_cast<unsigned>(attention.kv_heads * groups),
          static_cast<unsigned>(args.splits)},
         kAttendThreads, shared_bytes(size, attention.head_dim), args);
  launch(stream, bf16 ? join_splits_kernel<DType::bf16> : join_splits_kernel<DType::fp32>,
         {rows, static_cast<unsigned>(attention.heads), 1}, kAttendThreads, 0, args);
}

}  // namespace gridmill::cuda
