#include "gridmill/job/work_protocol.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <set>
#include <vector>

namespace gridmill {
namespace {

/// Ranks of one process: messages wait in a queue each.
class Post {
 public:
  class Port final : public WorkPort {
   public:
    Port(Post& post, int rank) : post_(post), rank_(rank) {}
    void send(int rank, const WorkMessage& message) override {
      post_.boxes_[rank].push_back(message);
    }
    std::optional<WorkMessage> poll() override {
      std::deque<WorkMessage>& box = post_.boxes_[rank_];
      if (box.empty()) return std::nullopt;
      const WorkMessage message = box.front();
      box.pop_front();
      return message;
    }

   private:
    Post& post_;
    int rank_;
  };
  Port port(int rank) { return {*this, rank}; }

 private:
  std::map<int, std::deque<WorkMessage>> boxes_;
};

TEST(WorkProtocol, ThreeLeadersShareAllRowsAndFinish) {
  Post post;
  auto server_port = post.port(100);
  LeaseServer server(LeaseQueue({{0, 200}}, 3, 16), {0, 1, 2}, server_port);
  std::deque<Post::Port> ports;
  std::deque<LeaseClient> clients;
  for (int rank = 0; rank < 3; ++rank) {
    ports.emplace_back(post, rank);
    clients.emplace_back(rank, 100, 4, ports.back());
  }
  std::multiset<RowId> seen;
  std::vector<bool> finished(3);
  for (int round = 0; round < 1000 && !server.all_finished(); ++round) {
    for (std::size_t i = 0; i < 3; ++i) {
      if (finished[i]) continue;
      while (const auto message = ports[i].poll()) clients[i].handle(*message);
      clients[i].ask();
      if (const auto row = clients[i].next()) {
        seen.insert(*row);
        clients[i].report({.rows_done = 1, .new_tokens = 7});
      }
      if (clients[i].exhausted()) {
        clients[i].finish();
        finished[i] = true;
      }
    }
    while (const auto message = server_port.poll()) server.handle(*message);
  }
  EXPECT_TRUE(server.all_finished());
  EXPECT_EQ(seen.size(), 200U);
  EXPECT_EQ(std::set<RowId>(seen.begin(), seen.end()).size(), 200U);
  EXPECT_EQ(server.counts().rows_done, 200U);
  EXPECT_EQ(server.counts().new_tokens, 1400U);
}

TEST(WorkProtocol, AStopOfAnyRankDrainsEveryLeader) {
  Post post;
  auto server_port = post.port(100);
  LeaseServer server(LeaseQueue({{0, 200}}, 2, 16), {0, 1}, server_port);
  auto port = post.port(1);
  LeaseClient client(1, 100, 4, port);
  client.ask();
  while (const auto message = server_port.poll()) server.handle(*message);
  while (const auto message = port.poll()) client.handle(*message);
  ASSERT_FALSE(client.in_hand(0).empty());

  server.handle({.kind = WorkMessage::Kind::stop, .from = 3});
  while (const auto message = port.poll()) client.handle(*message);
  EXPECT_TRUE(server.draining());
  EXPECT_TRUE(client.draining());
  EXPECT_TRUE(client.exhausted());
  EXPECT_EQ(client.next(), std::nullopt);
  EXPECT_EQ(server.remaining(), 0U);
}

TEST(WorkProtocol, ALeaderKnowsTheRowsInItsHandsInTheOrderInWhichItWillTakeThem) {
  Post post;
  auto port = post.port(1);
  LeaseClient client(1, 100, 4, port);
  EXPECT_TRUE(client.in_hand(0).empty());
  client.handle({.kind = WorkMessage::Kind::grant, .ranges = 2, .rows = {{{5, 2}, {9, 1}}}});
  EXPECT_EQ(client.in_hand(0), (std::vector<RowId>{5, 6, 9}));
  EXPECT_EQ(client.next(), 5U);
  client.handle({.kind = WorkMessage::Kind::grant, .ranges = 1, .rows = {{{20, 2}}}});
  EXPECT_EQ(client.in_hand(2), (std::vector<RowId>{20, 21})) << "6 and 9 were known";
  EXPECT_TRUE(client.in_hand(4).empty());
  client.handle({.kind = WorkMessage::Kind::drain});
  EXPECT_TRUE(client.in_hand(2).empty());
}

TEST(WorkProtocol, ALeaderAsksOnceUntilItIsAnswered) {
  Post post;
  auto port = post.port(1);
  LeaseClient client(1, 100, 4, port);
  client.ask();
  client.ask();
  auto server_port = post.port(100);
  EXPECT_TRUE(server_port.poll().has_value());
  EXPECT_FALSE(server_port.poll().has_value());
  EXPECT_FALSE(client.exhausted()) << "an answer is still to come";
}

}  // namespace
}  // namespace gridmill
