#pragma once

#include <cstddef>
#include <cstdint>
#include <list>

#include "kernels/cuda/work_list.hpp"

namespace gridmill::cuda {

/// Submits lists of work to one stream: one that comes for the first time piece by piece, one that
/// comes again as a graph of the device, at the cost of one launch. What runs is the same in both
/// cases: a graph is taken only for a list that is equal to the last byte of its arguments.
class GraphCache {
 public:
  explicit GraphCache(StreamHandle stream) : stream_(stream) {}
  GraphCache(const GraphCache&) = delete;
  GraphCache& operator=(const GraphCache&) = delete;
  ~GraphCache();

  /// @throws SystemError if the device refuses it.
  void submit(const WorkList& list);
  /// Drops all graphs: for use when pinned memory in copies of a graph is freed.
  void clear();

 private:
  /// A list that has been seen, and its graph if it has been seen twice.
  struct Entry {
    WorkList list;
    GraphHandle graph = nullptr;
    std::uint64_t used = 0;
  };
  /// nullptr if there is none. Lists follow each other as they did before, so that the first one
  /// looked at is the right one in most passes.
  [[nodiscard]] Entry* find(const WorkList& list);
  void forget_oldest();

  StreamHandle stream_;
  std::list<Entry> entries_;
  std::list<Entry>::iterator next_ = entries_.end();
  std::uint64_t submissions_ = 0;
};

}  // namespace gridmill::cuda
