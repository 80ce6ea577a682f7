#include <algorithm>
#include <cstddef>

#include "checkpoint/node_plan_detail.hpp"

namespace gridmill::checkpoint_detail {

NodePlan plan_node_copy(const std::vector<Peer>& peers, int own, std::int64_t items, int shards) {
  int nodes = 0;
  for (const Peer& peer : peers) nodes = std::max(nodes, peer.node + 1);
  std::vector<std::vector<int>> members(static_cast<std::size_t>(nodes));
  for (std::size_t rank = 0; rank < peers.size(); ++rank) {
    members[static_cast<std::size_t>(peers[rank].node)].push_back(static_cast<int>(rank));
  }
  NodePlan plan;
  for (int shard = 0; shard < shards; ++shard) {
    const IndexRange whole = even_shard(items, shards, shard);
    if (whole.count == 0) continue;
    // Ranks that have this shard, by node; and the nodes with such a rank.
    std::vector<std::vector<int>> readers(members.size());
    std::vector<std::size_t> sources;
    for (std::size_t node = 0; node < members.size(); ++node) {
      for (const int rank : members[node]) {
        if (shards == 1 || peers[static_cast<std::size_t>(rank)].fsdp == shard) {
          readers[node].push_back(rank);
        }
      }
      if (!readers[node].empty()) sources.push_back(node);
    }
    const auto part = [&](const std::vector<int>& ranks, std::size_t index) {
      const IndexRange range =
          even_shard(whole.count, static_cast<int>(ranks.size()), static_cast<int>(index));
      return IndexRange{whole.first + range.first, range.count};
    };
    for (std::size_t node = 0; node < members.size(); ++node) {
      if (members[node].empty()) continue;
      if (!readers[node].empty()) {
        for (std::size_t index = 0; index < readers[node].size(); ++index) {
          if (readers[node][index] == own) plan.pack.push_back(part(readers[node], index));
        }
        continue;
      }
      // Spread over the nodes that have it, and over the ranks of this one.
      const std::vector<int>& senders = readers[sources[node % sources.size()]];
      for (std::size_t index = 0; index < senders.size(); ++index) {
        const int receiver =
            members[node][(static_cast<std::size_t>(shard) + index) % members[node].size()];
        const IndexRange range = part(senders, index);
        if (range.count == 0) continue;
        if (senders[index] == own) plan.send.push_back({range, receiver});
        if (receiver == own) plan.receive.push_back({range, senders[index]});
      }
    }
  }
  return plan;
}

}  // namespace gridmill::checkpoint_detail
