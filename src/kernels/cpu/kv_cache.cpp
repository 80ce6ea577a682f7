#include "kernels/cpu/kv_cache.hpp"

#include <algorithm>
#include <string>

#include "gridmill/base/check.hpp"
#include "kernels/cpu/bf16_rounding.hpp"
#include "kernels/cpu/kernel_table.hpp"
#include "kernels/cpu/memory.hpp"

namespace gridmill::cpu {

namespace {

/// Pages are mapped several at a time: a process has room for about 65000 mappings.
constexpr std::size_t kChunkBytes = std::size_t{32} << 20;

}  // namespace

PagedKvCache::PagedKvCache(const KvCacheShape& shape, DType dtype)
    : shape_(shape),
      dtype_(dtype),
      padded_(dtype == DType::bf16 ? (shape.head_dim + 31) / 32 * 32
                                   : (shape.head_dim + 15) / 16 * 16),
      tables_(static_cast<std::size_t>(shape.slots)) {
  const std::size_t element = size_of(dtype);
  const std::int64_t even = dtype == DType::bf16 ? (shape.head_dim + 1) / 2 * 2 : shape.head_dim;
  // A page's parts start at cache lines.
  const auto lines = [](std::size_t bytes) { return (bytes + 63) / 64 * 64; };
  key_bytes_ = lines(static_cast<std::size_t>(even) * kPageKeys * element);
  value_bytes_ = lines(static_cast<std::size_t>(padded_) * kPageKeys * element);
  page_bytes_ = static_cast<std::size_t>(shape.layers) * static_cast<std::size_t>(shape.kv_heads) *
                (key_bytes_ + value_bytes_);
}

std::vector<std::byte*>& PagedKvCache::table(SlotId slot) {
  GRIDMILL_ASSERT(slot >= 0 && slot < shape_.slots, "no slot " + std::to_string(slot));
  return tables_[static_cast<std::size_t>(slot)];
}

std::byte* PagedKvCache::take_page() {
  if (free_pages_.empty()) {
    const std::size_t count =
        std::clamp<std::size_t>(kChunkBytes / std::max<std::size_t>(1, page_bytes_), 1, 64);
    chunks_.push_back(allocate_zeroed(count * page_bytes_));
    for (std::size_t i = count; i-- > 0;) {
      free_pages_.push_back(chunks_.back().data() + i * page_bytes_);
    }
  }
  std::byte* page = free_pages_.back();
  free_pages_.pop_back();
  return page;
}

void PagedKvCache::reserve(SlotId slot, std::int64_t first_query, std::int64_t length) {
  GRIDMILL_ASSERT(length <= shape_.max_length, "position " + std::to_string(length - 1) +
                                                   " is outside the cache of " +
                                                   std::to_string(shape_.max_length));
  std::vector<std::byte*>& pages = table(slot);
  const std::int64_t first = first_kept(first_query + 1, shape_.window) / kPageKeys;
  const auto seen = std::min(pages.size(), static_cast<std::size_t>(first));
  // Pages before the window form a prefix that earlier calls have begun to take back.
  for (std::size_t i = seen; i-- > 0 && pages[i] != nullptr;) {
    free_pages_.push_back(pages[i]);
    pages[i] = nullptr;
  }
  while (static_cast<std::int64_t>(pages.size()) * kPageKeys < length) {
    const bool visible = static_cast<std::int64_t>(pages.size()) >= first;
    pages.push_back(visible ? take_page() : nullptr);
  }
}

std::byte* const* PagedKvCache::pages(SlotId slot) const {
  GRIDMILL_ASSERT(slot >= 0 && slot < shape_.slots, "no slot " + std::to_string(slot));
  return tables_[static_cast<std::size_t>(slot)].data();
}

std::size_t PagedKvCache::layer_offset(int layer) const {
  GRIDMILL_ASSERT(layer >= 0 && layer < shape_.layers, "no layer " + std::to_string(layer));
  return static_cast<std::size_t>(layer) * static_cast<std::size_t>(shape_.kv_heads) *
         (key_bytes_ + value_bytes_);
}

void PagedKvCache::reset(SlotId slot) {
  std::vector<std::byte*>& pages = table(slot);
  std::erase(pages, nullptr);
  free_pages_.insert(free_pages_.end(), pages.rbegin(), pages.rend());
  pages.clear();
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
  const std::vector<std::byte*>& pages = table(slot);
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
