#pragma once

#include <cstdint>
#include <vector>

#include "gridmill/params/shape.hpp"

namespace gridmill::checkpoint_detail {

/// A rank that needs the same weights: its shard and its node.
struct Peer {
  int fsdp = 0;
  int node = 0;
};

/// Reads and transfers of one rank that give every node one whole copy.
struct NodePlan {
  struct Move {
    IndexRange items;
    int peer = 0;  ///< index into the peers
  };
  std::vector<IndexRange> pack;  ///< items that this rank reads and packs
  std::vector<Move> send;        ///< of those, to ranks of other nodes
  std::vector<Move> receive;     ///< from ranks of other nodes
};

/// Plan for `items` panels or elements, cut into `shards` (1 = not split: every rank has them all).
/// The ranks of a node that have a shard divide it; a node without that shard receives it from one
/// other node, so that no byte is read twice on a node or crosses to it twice. Every rank computes
/// the same moves in the same order.
[[nodiscard]] NodePlan plan_node_copy(const std::vector<Peer>& peers, int own, std::int64_t items,
                                      int shards);

}  // namespace gridmill::checkpoint_detail
