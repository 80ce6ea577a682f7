#include "kernels/page_table.hpp"

#include <algorithm>
#include <string>

#include "gridmill/base/check.hpp"
#include "gridmill/kernels/state.hpp"

namespace gridmill::kernels_detail {

PageTable::PageTable(int slots, std::int64_t slot_pages, std::int64_t pool_pages)
    : slot_pages_(slot_pages),
      pool_pages_(pool_pages),
      entries_(static_cast<std::size_t>(slots) * static_cast<std::size_t>(slot_pages), kNone),
      counts_(static_cast<std::size_t>(slots), 0) {}

void PageTable::check_slot(SlotId slot) const {
  GRIDMILL_ASSERT(slot >= 0 && static_cast<std::size_t>(slot) < counts_.size(),
                  "no slot " + std::to_string(slot));
}

std::int64_t PageTable::free_pages() const {
  return pool_pages_ - static_cast<std::int64_t>(holders_.size()) +
         static_cast<std::int64_t>(free_.size());
}

std::span<const std::int32_t> PageTable::pages(SlotId slot) const {
  check_slot(slot);
  const auto index = static_cast<std::size_t>(slot);
  return std::span(entries_).subspan(index * static_cast<std::size_t>(slot_pages_),
                                     static_cast<std::size_t>(counts_[index]));
}

std::int32_t PageTable::take() {
  GRIDMILL_ASSERT(free_pages() > 0, "rows were fed that the pool has no pages for");
  if (free_.empty()) {
    holders_.push_back(1);
    return static_cast<std::int32_t>(holders_.size() - 1);
  }
  const std::int32_t page = free_.back();
  free_.pop_back();
  holders_[static_cast<std::size_t>(page)] = 1;
  return page;
}

void PageTable::release(std::int32_t& page) {
  if (--holders_[static_cast<std::size_t>(page)] == 0) free_.push_back(page);
  page = kNone;
}

void PageTable::reset(SlotId slot) {
  check_slot(slot);
  const auto index = static_cast<std::size_t>(slot);
  std::int32_t* pages = entries_.data() + index * static_cast<std::size_t>(slot_pages_);
  for (std::int64_t i = counts_[index]; i-- > 0;) {
    if (pages[i] != kNone) release(pages[i]);
  }
  counts_[index] = 0;
  GRIDMILL_ASSERT_HEAVY(consistent(), "a page was lost or given back twice");
}

bool PageTable::reserve(SlotId slot, std::int64_t first_page, std::int64_t length) {
  check_slot(slot);
  const std::int64_t wanted = (length + kKvPagePositions - 1) / kKvPagePositions;
  GRIDMILL_ASSERT(wanted <= slot_pages_, "the cache is full");
  const auto index = static_cast<std::size_t>(slot);
  std::int32_t* pages = entries_.data() + index * static_cast<std::size_t>(slot_pages_);
  std::int64_t& count = counts_[index];
  bool changed = false;
  // Entries without a page form a prefix: earlier calls have given these back.
  for (std::int64_t i = std::min(count, first_page); i-- > 0 && pages[i] != kNone;) {
    release(pages[i]);
    changed = true;
  }
  for (; count < wanted; ++count) {
    if (count >= first_page) pages[count] = take();
    changed = true;
  }
  GRIDMILL_ASSERT_HEAVY(!changed || consistent(), "a page was lost or given back twice");
  return changed;
}

std::optional<PageTable::Copy> PageTable::fork(SlotId from, SlotId to, std::int64_t length) {
  check_slot(from);
  check_slot(to);
  GRIDMILL_ASSERT(from != to, "a slot is forked onto itself");
  reset(to);
  const std::int64_t wanted = (length + kKvPagePositions - 1) / kKvPagePositions;
  const std::span<const std::int32_t> source = pages(from);
  GRIDMILL_ASSERT(wanted <= static_cast<std::int64_t>(source.size()),
                  "slot " + std::to_string(from) + " has fewer positions than are forked");
  const auto index = static_cast<std::size_t>(to);
  std::int32_t* pages = entries_.data() + index * static_cast<std::size_t>(slot_pages_);
  std::optional<Copy> copy;
  for (std::int64_t i = 0; i < wanted; ++i) {
    const std::int32_t page = source[static_cast<std::size_t>(i)];
    if (page == kNone) continue;
    if ((i + 1) * kKvPagePositions > length) {
      pages[i] = take();
      copy = {.from = page, .to = pages[i]};
    } else {
      ++holders_[static_cast<std::size_t>(page)];
      pages[i] = page;
    }
  }
  counts_[index] = wanted;
  GRIDMILL_ASSERT_HEAVY(consistent(), "a page was lost or given back twice");
  return copy;
}

bool PageTable::consistent() const {
  std::vector<std::int32_t> found(holders_.size(), 0);
  for (const std::int32_t page : entries_) {
    if (page != kNone) ++found[static_cast<std::size_t>(page)];
  }
  return found == holders_ &&
         static_cast<std::size_t>(std::count(found.begin(), found.end(), 0)) == free_.size();
}

}  // namespace gridmill::kernels_detail
