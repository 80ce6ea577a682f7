// Shared code of the kernels of attention: offsets of keys and values, which of them a row sees,
// how parts of a softmax are joined, and where results go.
#pragma once

#include <cuda_platform.hpp>

#include "kernels/cuda/attention.hpp"
#include "kernels/cuda/math.cuh"
#include "kernels/cuda/panels.hpp"

namespace gridmill::cuda {

/// Query heads of one key-value head that a thread block takes together for one row.
constexpr int kMostGroupHeads = 8;

/// First element of a head's keys, or values, in the page of `position`.
GRIDMILL_DEVICE std::int64_t head_of(const AttendArgs& args, SlotId slot, std::int64_t position,
                                     int value, int kv_head) {
  const Attention& attention = args.attention;
  const std::int32_t page =
      args.pages.table[static_cast<std::int64_t>(slot) * args.pages.slot_pages +
                       position / kPagePositions];
  return page * args.pages.page_elements + args.layer * args.pages.layer_elements +
         static_cast<std::int64_t>(value * attention.kv_heads + kv_head) * kPagePositions *
             attention.head_dim;
}

/// Query heads [first, first + count) of one kv head.
struct Group {
  int kv_head;
  int first;
  int count;
};

/// Partial sums of a group's heads stay below 48 KiB of shared memory.
constexpr int group_size(const Attention& attention) {
  const int most = attention.head_dim > 128 ? kMostGroupHeads / 2 : kMostGroupHeads;
  const int per_kv = attention.heads / attention.kv_heads;
  return per_kv < most ? per_kv : most;
}
/// Groups of all kv heads.
constexpr int group_count(const Attention& attention) {
  const int size = group_size(attention);
  return attention.kv_heads * ((attention.heads / attention.kv_heads + size - 1) / size);
}

GRIDMILL_DEVICE Group group_of(const Attention& attention, int index) {
  const int per_kv = attention.heads / attention.kv_heads;
  const int size = group_size(attention);
  const int groups = group_count(attention) / attention.kv_heads;
  const int first = index % groups * size;
  Group group{};
  group.kv_head = index / groups;
  group.first = group.kv_head * per_kv + first;
  group.count = per_kv - first < size ? per_kv - first : size;
  return group;
}

/// Keys [begin, end) that a row sees; empty if end <= begin.
struct Visible {
  std::int64_t begin;
  std::int64_t end;
};

/// Those of the split `split`, counted from position 0.
GRIDMILL_DEVICE Visible visible_in(const Attention& attention, std::int32_t position,
                                   std::int64_t split) {
  const std::int64_t first = first_visible(position, attention.window);
  const std::int64_t begin = split * kSplitPositions;
  const std::int64_t end = begin + kSplitPositions;
  return {begin > first ? begin : first, end < position + 1 ? end : position + 1};
}

/// The first split that a row sees.
GRIDMILL_DEVICE std::int64_t first_split(const Attention& attention, std::int32_t position) {
  return first_visible(position, attention.window) / kSplitPositions;
}

/// Largest score and sum of probabilities of some keys; none at first.
struct Softmax {
  float max = -infinity();
  float norm = 0.0F;
};

/// Factors of sums when those of further keys join them.
struct Rescale {
  float before = 1.0F;
  float here = 0.0F;
};

GRIDMILL_DEVICE Rescale join_softmax(Softmax& total, const Softmax& part) {
  const float largest = larger_of(total.max, part.max);
  const Rescale scale{exp_of(total.max - largest), exp_of(part.max - largest)};
  total.norm = fmaf(total.norm, scale.before, part.norm * scale.here);
  total.max = largest;
  return scale;
}

/// Score of a query and a key from their product.
GRIDMILL_DEVICE float score_of(const Attention& attention, float product) {
  return soft_cap_of(product * attention.scale, attention.score_cap);
}

/// The sink of a head, if it has one, joins its finished softmax. @return factor of its sums.
GRIDMILL_DEVICE float add_sink(const Attention& attention, int head, Softmax& total) {
  if (attention.sinks.size == 0) return 1.0F;
  const float sink = attention.sinks.data[head];
  const float largest = larger_of(total.max, sink);
  const float factor = exp_of(total.max - largest);
  total.norm = fmaf(total.norm, factor, exp_of(sink - largest));
  total.max = largest;
  return factor;
}

GRIDMILL_DEVICE float join_sums(float total, float part, const Rescale& scale) {
  return fmaf(total, scale.before, part * scale.here);
}

/// Where partial sums of a row, a head and a split of the row (from 0 on) go.
GRIDMILL_DEVICE std::int64_t partial_at(const AttendArgs& args, std::int64_t row, int head,
                                        std::int64_t split) {
  return ((row - args.first_row) * args.attention.heads + head) * args.splits + split;
}

}  // namespace gridmill::cuda
