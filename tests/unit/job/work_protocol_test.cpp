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
      clients[i].ask({.in_flight = 0, .free_slots = 1});
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
  client.ask({.free_slots = 8});
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

/// A server and leaders whose messages arrive at once.
class Leaders {
 public:
  Leaders(std::uint64_t rows, int leaders, std::uint64_t slots)
      : server_(LeaseQueue({{0, rows}}, leaders, slots), numbers(leaders), server_port_) {
    for (int rank = 0; rank < leaders; ++rank) {
      ports_.emplace_back(post_, rank);
      clients_.emplace_back(rank, 100, (slots + 1) / 2, ports_.back());
    }
  }
  /// Asks once and answers.
  void ask(std::size_t leader, const LeaderLoad& load) {
    clients_[leader].ask(load);
    while (const auto message = server_port_.poll()) {
      ++requests_;
      server_.handle(*message);
    }
    while (const auto message = ports_[leader].poll()) clients_[leader].handle(*message);
  }
  [[nodiscard]] std::size_t in_hand(std::size_t leader) const {
    return clients_[leader].in_hand(0).size();
  }
  /// Begins all rows in hand.
  std::uint64_t begin(std::size_t leader) {
    std::uint64_t rows = 0;
    while (clients_[leader].next()) ++rows;
    return rows;
  }
  [[nodiscard]] bool exhausted(std::size_t leader) const { return clients_[leader].exhausted(); }
  [[nodiscard]] int requests() const { return requests_; }

 private:
  static std::vector<int> numbers(int count) {
    std::vector<int> all;
    for (int i = 0; i < count; ++i) all.push_back(i);
    return all;
  }
  Post post_;
  Post::Port server_port_ = post_.port(100);
  LeaseServer server_;
  std::deque<Post::Port> ports_;
  std::deque<LeaseClient> clients_;
  int requests_ = 0;
};

TEST(FewRows, AreSharedAlikeHoweverOftenOneLeaderAsks) {
  Leaders leaders(100, 2, 64);
  std::uint64_t live = 0;
  for (int pass = 0; pass < 20; ++pass) {
    leaders.ask(0, {.in_flight = live, .free_slots = 64 - live});
    live += leaders.begin(0);
  }
  EXPECT_EQ(live, 50U) << "the other leader has not asked yet";
  leaders.ask(1, {.in_flight = 0, .free_slots = 64});
  EXPECT_EQ(leaders.begin(1), 50U);
}

TEST(FewRows, AreNeverMoreThanCanBeginAtOnce) {
  Leaders leaders(100, 2, 16);
  while (!leaders.exhausted(0)) {
    // 16 slots, of which three become free between two requests.
    leaders.ask(0, {.in_flight = 13, .free_slots = 3});
    EXPECT_LE(leaders.in_hand(0), 16U + 8) << "while many are left";
    if (leaders.begin(0) == 0) break;
  }
  leaders.ask(0, {.in_flight = 2, .free_slots = 14});
  EXPECT_LE(leaders.in_hand(0), 14U);
}

TEST(FewRows, ALeaderThatGotNoneAsksAgainWhenARowHasEnded) {
  Leaders leaders(10, 2, 8);
  leaders.ask(0, {.free_slots = 8});
  ASSERT_EQ(leaders.begin(0), 5U);
  const int before = leaders.requests();
  leaders.ask(0, {.in_flight = 5, .free_slots = 3});
  leaders.ask(0, {.in_flight = 5, .free_slots = 3});
  EXPECT_EQ(leaders.requests(), before + 1);
  EXPECT_FALSE(leaders.exhausted(0)) << "five rows are left, for the other one";
  leaders.ask(0, {.in_flight = 1, .free_slots = 7});
  EXPECT_EQ(leaders.begin(0), 2U) << "half of the six that have not ended, less the one it has";
  leaders.ask(1, {.free_slots = 8});
  EXPECT_EQ(leaders.begin(1), 3U);
  leaders.ask(1, {.in_flight = 2, .free_slots = 6});
  EXPECT_TRUE(leaders.exhausted(1));
}

TEST(WorkProtocol, ALeaderAsksOnceUntilItIsAnswered) {
  Post post;
  auto port = post.port(1);
  LeaseClient client(1, 100, 4, port);
  client.ask({.free_slots = 8});
  client.ask({.free_slots = 8});
  auto server_port = post.port(100);
  EXPECT_TRUE(server_port.poll().has_value());
  EXPECT_FALSE(server_port.poll().has_value());
  EXPECT_FALSE(client.exhausted()) << "an answer is still to come";
}

}  // namespace
}  // namespace gridmill
