#include "kernels/cpu/kv_cache.hpp"

#include <algorithm>
#include <cstring>
#include <string>

#include "gridmill/base/check.hpp"
#include "kernels/cpu/bf16_rounding.hpp"
#include "kernels/cpu/kernel_table.hpp"
#include "kernels/cpu/memory.hpp"

namespace gridmill::cpu {

namespace {

/// Pages are mapped several at a time: a process has room for about 65000 mappings.
constexpr std::size_t kChunkBytes = std::size_t{32} << 20;

std::int64_t slot_pages(const KvCacheShape& shape) {
  return (shape.max_length + kPageKeys - 1) / kPageKeys;
}

std::int64_t pool_pages(const KvCacheShape& shape) {
  const std::int64_t longest = shape.slots * slot_pages(shape);
  if (shape.pool_positions == 0) return longest;
  return std::min(longest, shape.pool_positions / kPageKeys);
}

}  // namespace

PagedKvCache::PagedKvCache(const KvCacheShape& shape, DType dtype)
    : shape_(shape),
      dtype_(dtype),
      padded_(dtype == DType::bf16 ? (shape.head_dim + 31) / 32 * 32
                                   : (shape.head_dim + 15) / 16 * 16),
      table_(shape.slots, slot_pages(shape), pool_pages(shape)),
      pointers_(static_cast<std::size_t>(shape.slots)) {
  const std::size_t element = size_of(dtype);
  const std::int64_t even = dtype == DType::bf16 ? (shape.head_dim + 1) / 2 * 2 : shape.head_dim;
  // A page's parts start at cache lines.
  const auto lines = [](std::size_t bytes) { return (bytes + 63) / 64 * 64; };
  key_bytes_ = lines(static_cast<std::size_t>(even) * kPageKeys * element);
  value_bytes_ = lines(static_cast<std::size_t>(padded_) * kPageKeys * element);
  page_bytes_ = static_cast<std::size_t>(shape.layers) * static_cast<std::size_t>(shape.kv_heads) *
                (key_bytes_ + value_bytes_);
  chunk_pages_ =
      std::clamp<std::size_t>(kChunkBytes / std::max<std::size_t>(1, page_bytes_), 1, 64);
}

std::byte* PagedKvCache::memory_of(std::int32_t page) {
  const auto index = static_cast<std::size_t>(page);
  while (chunks_.size() <= index / chunk_pages_) {
    chunks_.push_back(allocate_zeroed(chunk_pages_ * page_bytes_));
  }
  return chunks_[index / chunk_pages_].data() + index % chunk_pages_ * page_bytes_;
}

void PagedKvCache::point(SlotId slot) {
  std::vector<std::byte*>& pointers = pointers_[static_cast<std::size_t>(slot)];
  pointers.clear();
  for (const std::int32_t page : table_.pages(slot)) {
    pointers.push_back(page == kernels_detail::PageTable::kNone ? nullptr : memory_of(page));
  }
}

void PagedKvCache::reserve(SlotId slot, std::int64_t first_query, std::int64_t length) {
  GRIDMILL_ASSERT(length <= shape_.max_length, "position " + std::to_string(length - 1) +
                                                   " is outside the cache of " +
                                                   std::to_string(shape_.max_length));
  const std::int64_t first = first_kept(first_query + 1, shape_.window) / kPageKeys;
  if (table_.reserve(slot, first, length)) point(slot);
}

void PagedKvCache::fork(SlotId from, SlotId to, std::int64_t length) {
  if (const auto copy = table_.fork(from, to, length)) {
    std::byte* target = memory_of(copy->to);
    std::memcpy(target, memory_of(copy->from), page_bytes_);
  }
  point(to);
}

std::byte* const* PagedKvCache::pages(SlotId slot) const {
  GRIDMILL_ASSERT(slot >= 0 && slot < shape_.slots, "no slot " + std::to_string(slot));
  return pointers_[static_cast<std::size_t>(slot)].data();
}

std::size_t PagedKvCache::layer_offset(int layer) const {
  GRIDMILL_ASSERT(layer >= 0 && layer < shape_.layers, "no layer " + std::to_string(layer));
  return static_cast<std::size_t>(layer) * static_cast<std::size_t>(shape_.kv_heads) *
         (key_bytes_ + value_bytes_);
}

void PagedKvCache::reset(SlotId slot) {
  table_.reset(slot);
  point(slot);
}

std::size_t PagedKvCache::saved_floats(std::int64_t length) const {
  const std::int64_t positions = length - first_kept(length, shape_.window);
  return static_cast<std::size_t>(shape_.layers) * 2 * static_cast<std::size_t>(positions) *
         static_cast<std::size_t>(shape_.kv_heads) * static_cast<std::size_t>(shape_.head_dim);
}

std::size_t PagedKvCache::index_of(Part part, std::int64_t position, int d) const {
  const std::int64_t slot = position % kPageKeys;
  if (part == Part::key) {
    const std::int64_t pair = dtype_ == DType::bf16 ? 2 : 1;
    const std::int64_t units = (shape_.head_dim + pair - 1) / pair;
    const std::int64_t unit = (slot / 16 * units + d / pair) * 16 + slot % 16;
    return static_cast<std::size_t>(unit * pair + d % pair);
  }
  // bf16: columns c and c + 16 of 32 are a pair.
  const int column = dtype_ == DType::bf16 ? d / 32 * 32 + d % 16 * 2 + d % 32 / 16 : d;
  return key_bytes_ / size_of(dtype_) + static_cast<std::size_t>(slot * padded_ + column);
}

template <typename Visit>
void PagedKvCache::for_each(SlotId slot, std::int64_t length, Visit visit) {
  const std::vector<std::byte*>& pages = pointers_.at(static_cast<std::size_t>(slot));
  GRIDMILL_ASSERT(
      length <= static_cast<std::int64_t>(pages.size()) * kPageKeys,
      "slot " + std::to_string(slot) + " has fewer than " + std::to_string(length) + " positions");
  for (int layer = 0; layer < shape_.layers; ++layer) {
    const std::size_t offset = layer_offset(layer);
    for (const Part part : {Part::key, Part::value}) {
      for (std::int64_t position = first_kept(length, shape_.window); position < length;
           ++position) {
        std::byte* head = pages[static_cast<std::size_t>(position / kPageKeys)] + offset;
        for (int h = 0; h < shape_.kv_heads; ++h, head += key_bytes_ + value_bytes_) {
          for (int d = 0; d < shape_.head_dim; ++d) visit(head, index_of(part, position, d));
        }
      }
    }
  }
}

void PagedKvCache::save(SlotId slot, std::int64_t length, std::span<float> out) {
  GRIDMILL_ASSERT(out.size() == saved_floats(length), "wrong size for a saved KV cache");
  float* next = out.data();
  if (dtype_ == DType::bf16) {
    for_each(slot, length, [&](const std::byte* head, std::size_t index) {
      *next++ = bf16_to_fp32(reinterpret_cast<const Bf16*>(head)[index]);
    });
  } else {
    for_each(slot, length, [&](const std::byte* head, std::size_t index) {
      *next++ = reinterpret_cast<const float*>(head)[index];
    });
  }
}

void PagedKvCache::load(SlotId slot, std::int64_t length, std::span<const float> in) {
  GRIDMILL_ASSERT(in.size() == saved_floats(length), "wrong size for a saved KV cache");
  reset(slot);  // pages that others hold, too, are not written
  reserve(slot, length - 1, length);
  const float* next = in.data();
  if (dtype_ == DType::bf16) {
    for_each(slot, length, [&](std::byte* head, std::size_t index) {
      reinterpret_cast<Bf16*>(head)[index] = rounded_bf16(*next++);
    });
  } else {
    for_each(slot, length, [&](std::byte* head, std::size_t index) {
      reinterpret_cast<float*>(head)[index] = *next++;
    });
  }
}

}  // namespace gridmill::cpu
