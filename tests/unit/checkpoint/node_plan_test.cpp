#include <gtest/gtest.h>

#include <cstddef>
#include <map>
#include <set>
#include <vector>

#include "checkpoint/node_plan_detail.hpp"

namespace gridmill::checkpoint_detail {
namespace {

/// Ranks (dp, fsdp) in order, dealt to nodes in contiguous groups or in turn.
std::vector<Peer> peers_of(int dp, int fsdp, int nodes, bool in_turn) {
  std::vector<Peer> peers;
  const int ranks = dp * fsdp;
  peers.reserve(static_cast<std::size_t>(ranks));
  for (int rank = 0; rank < ranks; ++rank) {
    peers.push_back({rank % fsdp, in_turn ? rank % nodes : rank * nodes / ranks});
  }
  return peers;
}

std::set<std::int64_t> numbers(IndexRange range) {
  std::set<std::int64_t> all;
  for (std::int64_t item = range.first; item < range.end(); ++item) all.insert(item);
  return all;
}

void expect_complete(const std::vector<Peer>& peers, std::int64_t items, int shards) {
  std::map<int, std::multiset<std::int64_t>> on_node;  // every arrival of an item at a node
  std::map<std::pair<int, int>, std::vector<IndexRange>> sent, received;
  for (int rank = 0; rank < static_cast<int>(peers.size()); ++rank) {
    const Peer& peer = peers[static_cast<std::size_t>(rank)];
    const NodePlan plan = plan_node_copy(peers, rank, items, shards);
    std::set<std::int64_t> packed;
    for (const IndexRange range : plan.pack) {
      for (const std::int64_t item : numbers(range)) {
        packed.insert(item);
        on_node[peer.node].insert(item);
        if (shards > 1) {
          const IndexRange own = even_shard(items, shards, peer.fsdp);
          EXPECT_TRUE(item >= own.first && item < own.end())
              << "rank " << rank << " reads " << item;
        }
      }
    }
    for (const auto& move : plan.send) {
      EXPECT_NE(peers[static_cast<std::size_t>(move.peer)].node, peer.node);
      for (const std::int64_t item : numbers(move.items)) EXPECT_EQ(packed.count(item), 1U);
      sent[{rank, move.peer}].push_back(move.items);
    }
    for (const auto& move : plan.receive) {
      for (const std::int64_t item : numbers(move.items)) on_node[peer.node].insert(item);
      received[{move.peer, rank}].push_back(move.items);
    }
  }
  EXPECT_EQ(sent, received);  // the same pieces in the same order on both sides
  for (const auto& [node, arrivals] : on_node) {
    std::multiset<std::int64_t> once;
    for (std::int64_t item = 0; item < items; ++item) once.insert(item);
    EXPECT_EQ(arrivals, once) << "node " << node;
  }
}

TEST(NodePlan, EveryNodeGetsEveryItemExactlyOnce) {
  for (const int fsdp : {1, 2, 3, 4}) {
    for (const int dp : {1, 2, 3}) {
      for (int nodes = 1; nodes <= dp * fsdp; ++nodes) {
        for (const bool in_turn : {false, true}) {
          for (const std::int64_t items : {1, 2, 5, 17, 64}) {
            SCOPED_TRACE(testing::Message() << "dp " << dp << " fsdp " << fsdp << " nodes " << nodes
                                            << " in turn " << in_turn << " items " << items);
            expect_complete(peers_of(dp, fsdp, nodes, in_turn), items, fsdp);
            expect_complete(peers_of(dp, fsdp, nodes, in_turn), items, 1);
          }
        }
      }
    }
  }
}

TEST(NodePlan, NothingTravelsWhenEachNodeHasEveryShard) {
  const std::vector<Peer> peers = peers_of(2, 2, 2, false);
  for (int rank = 0; rank < 4; ++rank) {
    const NodePlan plan = plan_node_copy(peers, rank, 40, 2);
    EXPECT_TRUE(plan.send.empty());
    EXPECT_TRUE(plan.receive.empty());
  }
}

TEST(NodePlan, ReplicasOfANodeDivideTheirShard) {
  // Two replicas of two shards on one node: each reads a quarter.
  const std::vector<Peer> peers = peers_of(2, 2, 1, false);
  for (int rank = 0; rank < 4; ++rank) {
    const NodePlan plan = plan_node_copy(peers, rank, 40, 2);
    ASSERT_EQ(plan.pack.size(), 1U);
    EXPECT_EQ(plan.pack[0].count, 10);
  }
}

TEST(NodePlan, NothingToDoForNothing) {
  const NodePlan plan = plan_node_copy(peers_of(1, 2, 2, false), 0, 0, 2);
  EXPECT_TRUE(plan.pack.empty());
  EXPECT_TRUE(plan.send.empty());
}

}  // namespace
}  // namespace gridmill::checkpoint_detail
