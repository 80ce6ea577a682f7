// Causal attention over a paged cache, in any compute dtype and for heads of any size
// (attention_tensor.cu has bf16 on tensor cores). Keys are visited in blocks of 64 at absolute
// positions, 8 blocks a thread block; the thread blocks of a row join in ascending order. So the
// order of every sum depends on the position alone: neither on the batch nor on how a prompt was
// cut.
#include <cuda_platform.hpp>

#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/reduce.cuh"

namespace gridmill::cuda {

namespace {

constexpr int kAttendThreads = 128;
constexpr int kAttendWarps = kAttendThreads / kWarp;
constexpr int kLaneDims = kMostHeadDim / kWarp;

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

/// Scores of keys [begin, end) of one page, a warp a key.
template <DType Compute>
GRIDMILL_DEVICE void score_page(const AttendArgs& args, const Group& group, const float* queries,
                                SlotId slot, Visible page, const Shared& shared) {
  const int head_dim = args.attention.head_dim;
  const int lane = thread_index() % kWarp;
  const std::int64_t keys = head_of(args, slot, page.begin, 0, group.kv_head);
  for (std::int64_t j = page.begin + thread_index() / kWarp; j < page.end; j += kAttendWarps) {
    const std::int64_t in_page = j % kPagePositions;
    const std::int64_t key = keys + in_page * head_dim;
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
      if (lane == 0) shared.scores[g * kPagePositions + in_page] = score_of(args.attention, sum);
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
  const Visible visible =
      visible_in(attention, place.position, first_split(attention, place.position) + block_z());
  if (visible.begin >= visible.end) return;
  const Group group = group_of(attention, block_y());
  const int head_dim = attention.head_dim;
  const Shared shared = shared_of(group_size(attention), head_dim);
  const float* queries =
      args.qkv.data + row * args.qkv.stride + static_cast<std::int64_t>(group.first) * head_dim;
  for (int i = thread_index(); i < group.count * head_dim; i += kAttendThreads)
    shared.sums[i] = 0.0F;
  if (thread_index() < group.count) {
    shared.max[thread_index()] = -infinity();
    shared.norm[thread_index()] = 0.0F;
  }
  barrier();
  std::int64_t begin = visible.begin;
  while (begin < visible.end) {
    std::int64_t end = (begin / kPagePositions + 1) * kPagePositions;
    if (end > visible.end) end = visible.end;
    const Visible page{begin, end};
    score_page<Compute>(args, group, queries, place.slot, page, shared);
    barrier();
    weigh_page(group, page, shared);
    barrier();
    const std::int64_t values = head_of(args, place.slot, begin, 1, group.kv_head);
    for (int i = thread_index(); i < group.count * head_dim; i += kAttendThreads) {
      const int g = i / head_dim;
      const std::int64_t value = values + static_cast<std::int64_t>(i % head_dim) * kPagePositions;
      const float* p = shared.scores + g * kPagePositions;
      float sum = shared.sums[i] * shared.scale[g];
      for (std::int64_t j = begin % kPagePositions; j <= (end - 1) % kPagePositions; ++j) {
        sum = fmaf(p[j], load_element<Compute>(args.pages.memory, value + j), sum);
      }
      shared.sums[i] = sum;
    }
    barrier();
    begin = end;
  }
  for (int i = thread_index(); i < group.count * head_dim; i += kAttendThreads) {
    const int g = i / head_dim;
    const std::int64_t at = partial_at(args, row, group.first + g, block_z());
    args.partial_sums[at * head_dim + i % head_dim] = shared.sums[i];
    if (i % head_dim == 0) {
      args.partial_norms[2 * at] = shared.max[g];
      args.partial_norms[2 * at + 1] = shared.norm[g];
    }
  }
}

/// Joins the splits of one row and head in ascending order, if there are more than `Least`.
template <DType Compute, int Least>
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
  const int splits = attention_splits(place.position, attention.window);
  if (splits <= Least) return;
  const std::int64_t at = partial_at(args, row, head, 0);
  const float* norms = args.partial_norms + 2 * at;
  const float* sums = args.partial_sums + at * head_dim;
  for (int d = thread_index(); d < head_dim; d += kAttendThreads) {
    Softmax total{norms[0], norms[1]};
    float sum = sums[d];
    for (int s = 1; s < splits; ++s) {
      const Rescale scale = join_softmax(total, {norms[2 * s], norms[2 * s + 1]});
      sum = join_sums(sum, sums[s * head_dim + d], scale);
    }
    sum = sum * add_sink(attention, head, total);
    store_element<Compute>(out, row * stride + head * head_dim + d, sum / total.norm);
  }
  if (head == attention.heads - 1) {
    for (std::int64_t i = width + thread_index(); i < stride; i += kAttendThreads) {
      store_element<Compute>(out, row * stride + i, 0.0F);
    }
  }
}

}  // namespace

void launch_attend(LaunchStream stream, DType compute_dtype, const AttendArgs& args) {
  const bool bf16 = compute_dtype == DType::bf16;
  const Attention& attention = args.attention;
  const auto rows = static_cast<unsigned>(args.rows);
  const LaunchGrid joins{rows, static_cast<unsigned>(attention.heads), 1};
  if (attends_on_tensor_cores(compute_dtype, attention.head_dim)) {
    launch_attend_tensor(stream, args);
    if (args.splits == 1) return;
    launch(stream, join_splits_kernel<DType::bf16, 1>, joins, kAttendThreads, 0, args);
    return;
  }
  launch(stream, bf16 ? split_kernel<DType::bf16> : split_kernel<DType::fp32>,
         {rows, static_cast<unsigned>(group_count(attention)), static_cast<unsigned>(args.splits)},
         kAttendThreads, shared_bytes(group_size(attention), attention.head_dim), args);
  launch(stream, bf16 ? join_splits_kernel<DType::bf16, 0> : join_splits_kernel<DType::fp32, 0>,
         joins, kAttendThreads, 0, args);
}

}  // namespace gridmill::cuda
