#include "kernels/cuda/graph_cache.hpp"

#include <algorithm>
#include <iterator>

namespace gridmill::cuda {

GraphCache::~GraphCache() { clear(); }

void GraphCache::clear() {
  for (const Entry& entry : entries_) {
    if (entry.graph != nullptr) destroy_graph(entry.graph);
  }
  entries_.clear();
  next_ = entries_.end();
}

GraphCache::Entry* GraphCache::find(const WorkList& list) {
  auto entry = next_;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (entry == entries_.end()) entry = entries_.begin();
    if (entry->list == list) {
      next_ = std::next(entry);
      return &*entry;
    }
    ++entry;
  }
  return nullptr;
}

void GraphCache::forget_oldest() {
  const auto oldest =
      std::min_element(entries_.begin(), entries_.end(),
                       [](const Entry& a, const Entry& b) { return a.used < b.used; });
  if (oldest->graph != nullptr) destroy_graph(oldest->graph);
  if (next_ == oldest) next_ = std::next(oldest);
  entries_.erase(oldest);
}

void GraphCache::submit(const WorkList& list) {
  // Some 20 lists are a pass of a model of 80 layers; a few kinds of passes alternate.
  constexpr std::size_t kMostEntries = 128;
  if (list.items.empty()) return;
  Entry* entry = find(list);
  if (entry == nullptr) {
    submit_each(stream_, list);
    if (entries_.size() == kMostEntries) forget_oldest();
    next_ = std::next(entries_.insert(next_, Entry{.list = list, .used = ++submissions_}));
    return;
  }
  entry->used = ++submissions_;
  if (entry->graph == nullptr) entry->graph = make_graph(stream_, entry->list);
  launch_graph(stream_, entry->graph);
}

}  // namespace gridmill::cuda
