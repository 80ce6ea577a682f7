#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "gridmill/base/device.hpp"
#include "gridmill/base/dtype.hpp"
#include "gridmill/kernels/state.hpp"
#include "kernels/page_table.hpp"

namespace gridmill::cpu {

/// Keys and values in pages of 64 positions of one pool, taken when a sequence reaches them and
/// given back when its slot is reset, or when they lie before the window of the layers. Pages get
/// memory when they are taken first. Without KvCacheShape::pool_positions there are enough for
/// every slot at the longest length; with it the caller feeds rows for which there are pages.
/// A page holds every layer and kv head (attention.hpp):
///   [layer][kv head][ keys [4][units of Dh][16] | values [64][padded Dh] ]
class PagedKvCache final : public KvCache {
 public:
  PagedKvCache(const KvCacheShape& shape, DType dtype);

  void reset(SlotId slot) override;
  [[nodiscard]] std::size_t saved_floats(std::int64_t length) const override;
  void save(SlotId slot, std::int64_t length, std::span<float> out) override;
  void load(SlotId slot, std::int64_t length, std::span<const float> in) override;
  void fork(SlotId from, SlotId to, std::int64_t length) override;
  [[nodiscard]] std::int64_t pages_in_use() const override { return table_.pages_in_use(); }

  [[nodiscard]] const KvCacheShape& shape() const { return shape_; }
  /// Gives `slot` pages for positions [0, length), with a window only for those that a query at
  /// `first_query` or behind it sees; takes back the pages before them. @throws ResourceError
  void reserve(SlotId slot, std::int64_t first_query, std::int64_t length);
  /// Pages of a slot by position / 64; nullptr for those that were taken back.
  [[nodiscard]] std::byte* const* pages(SlotId slot) const;
  [[nodiscard]] std::size_t key_bytes() const { return key_bytes_; }
  [[nodiscard]] std::size_t value_bytes() const { return value_bytes_; }
  /// Offset of a layer inside a page.
  [[nodiscard]] std::size_t layer_offset(int layer) const;

 private:
  enum class Part { key, value };
  /// Memory of a page, made if it has none.
  [[nodiscard]] std::byte* memory_of(std::int32_t page);
  /// Brings pointers_ of `slot` up to date.
  void point(SlotId slot);
  /// Where element `d` of a key or value is, in elements from the beginning of its kv head.
  [[nodiscard]] std::size_t index_of(Part part, std::int64_t position, int d) const;
  /// Calls visit(beginning of the kv head, index of an element) in canonical order.
  template <typename Visit>
  void for_each(SlotId slot, std::int64_t length, Visit visit);

  KvCacheShape shape_;
  DType dtype_;
  std::int64_t padded_;  ///< columns of a value: Dh rounded up to 16 (fp32) or 32 (bf16)
  std::size_t key_bytes_;
  std::size_t value_bytes_;
  std::size_t page_bytes_;
  std::size_t chunk_pages_;
  kernels_detail::PageTable table_;
  std::vector<std::vector<std::byte*>> pointers_;  ///< [slot][page], as kernels read them
  std::vector<Buffer> chunks_;                     ///< of chunk_pages_ pages each
};

}  // namespace gridmill::cpu
