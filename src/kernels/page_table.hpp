#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "gridmill/base/ids.hpp"

namespace gridmill::kernels_detail {

/// Which pages of a pool the slots of a KV cache hold. A page is a number here; its memory belongs
/// to the cache. Slots that begin alike share pages: each page counts the slots that hold it, and
/// returns to the pool when the last of them lets go. A shared page is never written, because slots
/// write behind the positions that they share.
class PageTable {
 public:
  /// Entry of a position whose page was given back, or never taken.
  static constexpr std::int32_t kNone = -1;
  /// Contents that a fork has to copy.
  struct Copy {
    std::int32_t from = kNone;
    std::int32_t to = kNone;
  };

  /// @param slot_pages  pages of the longest sequence.
  /// @param pool_pages  pages of all slots together.
  PageTable(int slots, std::int64_t slot_pages, std::int64_t pool_pages);

  /// Gives all pages of `slot` back.
  void reset(SlotId slot);
  /// Takes pages until positions [64 first_page, length) have one; gives those before them back.
  /// @return whether an entry has changed.
  /// @throws InternalError beyond the longest sequence, or if the pool is empty.
  bool reserve(SlotId slot, std::int64_t first_page, std::int64_t length);
  /// `to` gets the pages of the first `length` positions of `from`: whole ones are shared, a last
  /// one that is not full is a new page.
  /// @return the copy of that page; none if `length` is a whole number of pages.
  [[nodiscard]] std::optional<Copy> fork(SlotId from, SlotId to, std::int64_t length);

  /// Entries of `slot` up to its last page.
  [[nodiscard]] std::span<const std::int32_t> pages(SlotId slot) const;
  /// Entries of all slots, [slots][pages of the longest sequence].
  [[nodiscard]] std::span<const std::int32_t> entries() const { return entries_; }
  [[nodiscard]] std::int64_t free_pages() const;
  /// Held by slots, each counted once.
  [[nodiscard]] std::int64_t pages_in_use() const { return pool_pages_ - free_pages(); }

 private:
  [[nodiscard]] std::int32_t take();
  void release(std::int32_t& page);
  void check_slot(SlotId slot) const;
  /// Every page is free or has as many holders as it counts.
  [[nodiscard]] bool consistent() const;

  std::int64_t slot_pages_;
  std::int64_t pool_pages_;
  std::vector<std::int32_t> entries_;
  std::vector<std::int64_t> counts_;   ///< entries in use of each slot
  std::vector<std::int32_t> holders_;  ///< of each page that was ever taken
  std::vector<std::int32_t> free_;     ///< of these, without a holder; the last one goes first
};

}  // namespace gridmill::kernels_detail
