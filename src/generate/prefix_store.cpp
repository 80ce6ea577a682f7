#include "generate/prefix_store.hpp"

#include <algorithm>
#include <limits>

#include "generate/page_pool_detail.hpp"
#include "gridmill/kernels/state.hpp"

namespace gridmill::generate_detail {

std::int64_t common_length(std::span<const TokenId> a, std::span<const TokenId> b) {
  const std::size_t most = std::min(a.size(), b.size());
  return std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(most), b.begin()).first -
         a.begin();
}

PrefixStore::PrefixStore(SlotId first_slot, int slots, std::int64_t positions)
    : most_pages_(positions == 0 ? std::numeric_limits<std::int64_t>::max()
                                 : positions / kKvPagePositions) {
  prefixes_.resize(static_cast<std::size_t>(slots));
  for (StoredPrefix& prefix : prefixes_) prefix.slot = first_slot++;
}

StoredPrefix* PrefixStore::find(std::span<const TokenId> prompt, const PrefixKind& wanted,
                                std::int64_t most, bool cut, std::int64_t* length) {
  StoredPrefix* best = nullptr;
  *length = 0;
  for (StoredPrefix& prefix : prefixes_) {
    if (prefix.length == 0 || !prefix.kind.serves(wanted)) continue;
    std::int64_t common =
        std::min({common_state(prefix.tokens, prompt, wanted.logprobs), prefix.length, most});
    if (!cut && common < prefix.length) common = 0;
    if (common <= *length) continue;
    *length = common;
    best = &prefix;
  }
  return best;
}

StoredPrefix* PrefixStore::make_room(std::int64_t length, BatchState& state) {
  const std::int64_t wanted = pages_of(length);
  if (prefixes_.empty() || wanted > most_pages_) return nullptr;
  shrink(most_pages_ - wanted, state);
  const auto free = std::find_if(prefixes_.begin(), prefixes_.end(),
                                 [](const StoredPrefix& prefix) { return prefix.length == 0; });
  if (free != prefixes_.end()) return &*free;
  StoredPrefix* last = oldest();
  remove(*last, state);
  return last;
}

void PrefixStore::shrink(std::int64_t pages, BatchState& state) {
  for (std::int64_t held = this->pages(); held > pages; held = this->pages()) {
    StoredPrefix* last = oldest();
    if (last == nullptr) return;
    remove(*last, state);
  }
}

StoredPrefix* PrefixStore::oldest() {
  StoredPrefix* found = nullptr;
  for (StoredPrefix& prefix : prefixes_) {
    if (prefix.length == 0) continue;
    if (found == nullptr || prefix.used < found->used) found = &prefix;
  }
  return found;
}

std::int64_t PrefixStore::pages() const {
  std::int64_t pages = 0;
  for (const StoredPrefix& prefix : prefixes_) {
    pages += pages_of(prefix.length);
  }
  return pages;
}

void PrefixStore::remove(StoredPrefix& prefix, BatchState& state) {
  state.reset(prefix.slot);
  prefix.length = 0;
  prefix.tokens.clear();
  prefix.logprobs.clear();
  prefix.top.clear();
}

}  // namespace gridmill::generate_detail
