#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "gridmill/base/device.hpp"
#include "gridmill/base/dtype.hpp"
#include "gridmill/kernels/state.hpp"
#include "kernels/cuda/attention.hpp"
#include "kernels/cuda/cuda_stream.hpp"
#include "kernels/page_table.hpp"

namespace gridmill::cuda {

/// Pages of 64 positions of one pool, taken by a slot when its sequence grows into them and given
/// back when it is reset. Without KvCacheShape::pool_positions there are enough for every slot at
/// the longest length; with it the caller keeps the demand of its rows within the pool.
/// A window is not used: slots keep all their positions.
class CudaKvCache final : public KvCache {
 public:
  [[nodiscard]] static std::size_t memory_bytes(const KvCacheShape& shape, DType dtype);
  /// `memory` of memory_bytes(), `table` of slots * pages of a slot int32.
  CudaKvCache(const KvCacheShape& shape, DType dtype, Buffer memory, Buffer table);

  void reset(SlotId slot) override;
  [[nodiscard]] std::size_t saved_floats(std::int64_t length) const override;
  void save(SlotId slot, std::int64_t length, std::span<float> out) override;
  void load(SlotId slot, std::int64_t length, std::span<const float> in) override;
  /// A last page that is not full is copied by the next pass that works on any slot, without
  /// waiting.
  void fork(SlotId from, SlotId to, std::int64_t length) override;
  [[nodiscard]] std::int64_t pages_in_use() const override { return table_.pages_in_use(); }

  [[nodiscard]] const KvCacheShape& shape() const { return shape_; }
  [[nodiscard]] static std::int32_t slot_pages(const KvCacheShape& shape);
  [[nodiscard]] static std::int64_t pool_pages(const KvCacheShape& shape);
  [[nodiscard]] std::size_t free_pages() const {
    return static_cast<std::size_t>(table_.free_pages());
  }

  /// Takes pages until `slot` has room for `length` positions.
  void grow(SlotId slot, std::int64_t length);
  /// The pages as kernels of `stream` see them, what grow() has changed included.
  [[nodiscard]] KvPages pages(CudaStream& stream);

 private:
  [[nodiscard]] std::size_t page_bytes() const;
  void copy_pages(StreamHandle stream);
  /// Elements of a part of a page: one layer, keys or values, one kv head.
  [[nodiscard]] std::int64_t head_elements() const;
  [[nodiscard]] std::int64_t page_elements() const;
  template <typename Move>
  void for_each_head(SlotId slot, std::int64_t length, Move move);
  template <typename Visit>
  void for_each_element(std::int64_t positions, bool values, Visit visit) const;
  void check(SlotId slot, std::int64_t length, std::size_t floats) const;

  KvCacheShape shape_;
  DType dtype_;
  Buffer memory_;
  Buffer table_memory_;
  kernels_detail::PageTable table_;
  PinnedArray pinned_table_;
  /// In order: a page may be given back and taken again between two of them.
  std::vector<kernels_detail::PageTable::Copy> to_copy_;
  bool table_changed_ = true;
};

}  // namespace gridmill::cuda
