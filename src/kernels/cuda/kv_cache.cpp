#include "kernels/cuda/kv_cache.hpp"

#include <algorithm>
#include <cstring>
#include <string>

#include "gridmill/base/check.hpp"

namespace gridmill::cuda {

std::int32_t CudaKvCache::slot_pages(const KvCacheShape& shape) {
  return static_cast<std::int32_t>((shape.max_length + kPagePositions - 1) / kPagePositions);
}

std::int64_t CudaKvCache::pool_pages(const KvCacheShape& shape) {
  const std::int64_t longest = std::int64_t{shape.slots} * slot_pages(shape);
  if (shape.pool_positions == 0) return longest;
  return std::min(longest, shape.pool_positions / kPagePositions);
}

std::size_t CudaKvCache::memory_bytes(const KvCacheShape& shape, DType dtype) {
  const auto page = static_cast<std::size_t>(shape.layers) * 2 *
                    static_cast<std::size_t>(shape.kv_heads) * kPagePositions *
                    static_cast<std::size_t>(shape.head_dim);
  return page * static_cast<std::size_t>(pool_pages(shape)) * size_of(dtype);
}

CudaKvCache::CudaKvCache(const KvCacheShape& shape, DType dtype, Buffer memory, Buffer table)
    : shape_(shape),
      dtype_(dtype),
      memory_(std::move(memory)),
      table_memory_(std::move(table)),
      table_(shape.slots, slot_pages(shape), pool_pages(shape)),
      pinned_table_(table_.entries().size_bytes()) {}

std::int64_t CudaKvCache::head_elements() const {
  return std::int64_t{kPagePositions} * shape_.head_dim;
}

std::int64_t CudaKvCache::page_elements() const {
  return std::int64_t{2} * shape_.layers * shape_.kv_heads * head_elements();
}

std::size_t CudaKvCache::page_bytes() const {
  return static_cast<std::size_t>(page_elements()) * size_of(dtype_);
}

void CudaKvCache::reset(SlotId slot) { table_.reset(slot); }

void CudaKvCache::grow(SlotId slot, std::int64_t length) {
  GRIDMILL_ASSERT(length <= shape_.max_length, "the cache is full");
  if (table_.reserve(slot, 0, length)) table_changed_ = true;
}

void CudaKvCache::fork(SlotId from, SlotId to, std::int64_t length) {
  if (const auto copy = table_.fork(from, to, length)) to_copy_.push_back(*copy);
  table_changed_ = true;
}

void CudaKvCache::copy_pages(StreamHandle stream) {
  const auto memory = [&](std::int32_t page) {
    return memory_.data() + static_cast<std::size_t>(page) * page_bytes();
  };
  for (const auto& copy : to_copy_) {
    copy_on_device(stream, memory(copy.from), memory(copy.to), page_bytes());
  }
  to_copy_.clear();
}

KvPages CudaKvCache::pages(CudaStream& stream) {
  if (!to_copy_.empty()) copy_pages(stream.direct());
  if (table_changed_) {
    pinned_table_.upload(stream.direct(), std::as_bytes(table_.entries()), table_memory_.data());
    table_changed_ = false;
  }
  return {.memory = memory_.data(),
          .table = reinterpret_cast<const std::int32_t*>(table_memory_.data()),
          .slot_pages = slot_pages(shape_),
          .page_elements = page_elements(),
          .layer_elements = page_elements() / shape_.layers};
}

std::size_t CudaKvCache::saved_floats(std::int64_t length) const {
  return static_cast<std::size_t>(shape_.layers) * 2 * static_cast<std::size_t>(length) *
         static_cast<std::size_t>(shape_.kv_heads) * static_cast<std::size_t>(shape_.head_dim);
}

void CudaKvCache::check(SlotId slot, std::int64_t length, std::size_t floats) const {
  GRIDMILL_ASSERT(slot >= 0 && slot < shape_.slots, "no slot " + std::to_string(slot));
  GRIDMILL_ASSERT(floats == saved_floats(length) && length <= shape_.max_length,
                  "wrong size for a saved KV cache");
}

/// Calls move(device bytes of the part, positions of it that count, whether they are values, index
/// of its first value in canonical form) for every page, layer, part and head.
template <typename Move>
void CudaKvCache::for_each_head(SlotId slot, std::int64_t length, Move move) {
  const std::span<const std::int32_t> pages = table_.pages(slot);
  const auto width = static_cast<std::int64_t>(shape_.kv_heads) * shape_.head_dim;
  for (std::int64_t part = 0; part < std::int64_t{2} * shape_.layers; ++part) {
    for (std::int64_t first = 0; first < length; first += kPagePositions) {
      const std::int64_t page = pages[static_cast<std::size_t>(first / kPagePositions)];
      for (std::int64_t head = 0; head < shape_.kv_heads; ++head) {
        const std::int64_t element =
            page * page_elements() + (part * shape_.kv_heads + head) * head_elements();
        move(memory_.data() + static_cast<std::size_t>(element) * size_of(dtype_),
             std::min<std::int64_t>(kPagePositions, length - first), part % 2 == 1,
             (part * length + first) * width + head * shape_.head_dim);
      }
    }
  }
}

/// Calls visit(element of a head's part of a page, element of canonical form from the first on).
template <typename Visit>
void CudaKvCache::for_each_element(std::int64_t positions, bool values, Visit visit) const {
  const std::int64_t width = std::int64_t{shape_.kv_heads} * shape_.head_dim;
  for (std::int64_t i = 0; i < positions; ++i) {
    for (std::int64_t d = 0; d < shape_.head_dim; ++d) {
      const std::int64_t in_page = values ? d * kPagePositions + i : i * shape_.head_dim + d;
      visit(static_cast<std::size_t>(in_page), static_cast<std::size_t>(i * width + d));
    }
  }
}

void CudaKvCache::save(SlotId slot, std::int64_t length, std::span<float> out) {
  check(slot, length, out.size());
  synchronize_device();
  grow(slot, length);
  CudaStream stream;
  copy_pages(stream.direct());
  std::vector<std::byte> host(static_cast<std::size_t>(head_elements()) * size_of(dtype_));
  for_each_head(
      slot, length,
      [&](const std::byte* device, std::int64_t positions, bool values, std::int64_t at) {
        copy_to_host(stream.direct(), device, host);
        stream.synchronize();
        const std::span<float> head = out.subspan(static_cast<std::size_t>(at));
        for_each_element(positions, values, [&](std::size_t in_page, std::size_t canonical) {
          head[canonical] = dtype_ == DType::bf16
                                ? bf16_to_fp32(reinterpret_cast<const Bf16*>(host.data())[in_page])
                                : reinterpret_cast<const float*>(host.data())[in_page];
        });
      });
}

void CudaKvCache::load(SlotId slot, std::int64_t length, std::span<const float> in) {
  check(slot, length, in.size());
  synchronize_device();
  table_.reset(slot);  // pages that others hold, too, are not written
  grow(slot, length);
  CudaStream stream;
  copy_pages(stream.direct());
  std::vector<std::byte> host(static_cast<std::size_t>(head_elements()) * size_of(dtype_));
  for_each_head(
      slot, length, [&](std::byte* device, std::int64_t positions, bool values, std::int64_t at) {
        const std::span<const float> head = in.subspan(static_cast<std::size_t>(at));
        for_each_element(positions, values, [&](std::size_t in_page, std::size_t canonical) {
          if (dtype_ == DType::bf16) {
            reinterpret_cast<Bf16*>(host.data())[in_page] = fp32_to_bf16(head[canonical]);
          } else {
            reinterpret_cast<float*>(host.data())[in_page] = head[canonical];
          }
        });
        copy_to_device(stream.direct(), host, device);
        stream.synchronize();
      });
}

}  // namespace gridmill::cuda
