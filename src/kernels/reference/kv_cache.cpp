#include "kernels/reference/kv_cache.hpp"

#include <algorithm>
#include <string>

#include "gridmill/base/check.hpp"
#include "kernels/reference/compute.hpp"

namespace gridmill::reference {

namespace {

/// Values of one position: all kv heads.
std::size_t width(const KvCacheShape& shape) {
  return static_cast<std::size_t>(shape.kv_heads) * static_cast<std::size_t>(shape.head_dim);
}

/// Positions that a slot has room for.
std::int64_t room(const KvCacheShape& shape) {
  return shape.window > 0 ? std::min<std::int64_t>(shape.window, shape.max_length)
                          : shape.max_length;
}

}  // namespace

std::size_t ReferenceKvCache::values(const KvCacheShape& shape) {
  return static_cast<std::size_t>(shape.layers) * static_cast<std::size_t>(shape.slots) * 2 *
         static_cast<std::size_t>(room(shape)) * width(shape);
}

ReferenceKvCache::ReferenceKvCache(const KvCacheShape& shape, DType dtype, Buffer memory)
    : shape_(shape), dtype_(dtype), memory_(std::move(memory)) {}

std::size_t ReferenceKvCache::index(int layer, SlotId slot, Part part,
                                    std::int64_t position) const {
  GRIDMILL_ASSERT(layer >= 0 && layer < shape_.layers && slot >= 0 && slot < shape_.slots,
                  "no layer " + std::to_string(layer) + " or slot " + std::to_string(slot));
  GRIDMILL_ASSERT(position >= 0 && position <= shape_.max_length,
                  "position " + std::to_string(position) + " is outside the cache of " +
                      std::to_string(shape_.max_length));
  const auto slots = static_cast<std::size_t>(layer) * static_cast<std::size_t>(shape_.slots) +
                     static_cast<std::size_t>(slot);
  return ((slots * 2 + static_cast<std::size_t>(part)) * static_cast<std::size_t>(room(shape_)) +
          static_cast<std::size_t>(position % room(shape_))) *
         width(shape_);
}

float ReferenceKvCache::value(std::size_t index) const {
  return dtype_ == DType::bf16 ? bf16_to_fp32(reinterpret_cast<const Bf16*>(memory_.data())[index])
                               : reinterpret_cast<const float*>(memory_.data())[index];
}

void ReferenceKvCache::set(std::size_t index, float value) {
  if (dtype_ == DType::bf16) {
    reinterpret_cast<Bf16*>(memory_.data())[index] = rounded_bf16(value);
  } else {
    reinterpret_cast<float*>(memory_.data())[index] = value;
  }
}

void ReferenceKvCache::write(int layer, SlotId slot, Part part, std::int64_t position,
                             const float* values) {
  GRIDMILL_ASSERT(position < shape_.max_length, "the cache is full");
  const std::size_t first = index(layer, slot, part, position);
  for (std::size_t i = 0; i < width(shape_); ++i) set(first + i, values[i]);
}

void ReferenceKvCache::read(int layer, SlotId slot, Part part, std::int64_t position, int kv_head,
                            float* values) const {
  const auto head_dim = static_cast<std::size_t>(shape_.head_dim);
  const std::size_t first =
      index(layer, slot, part, position) + static_cast<std::size_t>(kv_head) * head_dim;
  for (std::size_t i = 0; i < head_dim; ++i) values[i] = value(first + i);
}

void ReferenceKvCache::reset(SlotId slot) {
  // A query reads only positions that its own sequence has written: nothing to clear.
  static_cast<void>(index(0, slot, Part::key, 0));
}

std::size_t ReferenceKvCache::saved_floats(std::int64_t length) const {
  const std::int64_t positions = length - first_kept(length, shape_.window);
  return static_cast<std::size_t>(shape_.layers) * 2 * static_cast<std::size_t>(positions) *
         width(shape_);
}

void ReferenceKvCache::save(SlotId slot, std::int64_t length, std::span<float> out) {
  GRIDMILL_ASSERT(out.size() == saved_floats(length) && length <= shape_.max_length,
                  "wrong size for a saved KV cache");
  std::size_t next = 0;
  for (int layer = 0; layer < shape_.layers; ++layer) {
    for (const Part part : {Part::key, Part::value}) {
      for (std::int64_t at = first_kept(length, shape_.window); at < length; ++at) {
        const std::size_t first = index(layer, slot, part, at);
        for (std::size_t i = 0; i < width(shape_); ++i) out[next++] = value(first + i);
      }
    }
  }
}

void ReferenceKvCache::load(SlotId slot, std::int64_t length, std::span<const float> in) {
  GRIDMILL_ASSERT(in.size() == saved_floats(length) && length <= shape_.max_length,
                  "wrong size for a saved KV cache");
  std::size_t next = 0;
  for (int layer = 0; layer < shape_.layers; ++layer) {
    for (const Part part : {Part::key, Part::value}) {
      for (std::int64_t at = first_kept(length, shape_.window); at < length; ++at) {
        const std::size_t first = index(layer, slot, part, at);
        for (std::size_t i = 0; i < width(shape_); ++i) set(first + i, in[next++]);
      }
    }
  }
}

}  // namespace gridmill::reference
