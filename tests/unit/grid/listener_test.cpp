#include "grid/listener.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "grid/unix_socket.hpp"
#include "gridmill/base/clock.hpp"
#include "gridmill/base/error.hpp"

namespace gridmill::detail {
namespace {

Introduction rank_on(int rank, const char* host) {
  Introduction introduction;
  introduction.rank = rank;
  std::strncpy(introduction.host, host, sizeof(introduction.host) - 1);
  return introduction;
}

/// The hash, as the other tests of this file would not notice if it were none.
TEST(KeyedHash, IsHmacSha256) {
  Secret key{};
  key.fill(std::byte{0x0b});
  const std::string text = "Hi There";
  const KeyedHash hash = keyed_hash(key, std::as_bytes(std::span(text)));
  // Python: hmac.new(b"\x0b" * 32, b"Hi There", "sha256").hexdigest()[:8]
  EXPECT_EQ(std::to_integer<int>(hash[0]), 0x19);
  EXPECT_EQ(std::to_integer<int>(hash[1]), 0x8a);
  EXPECT_EQ(std::to_integer<int>(hash[2]), 0x60);
  EXPECT_NE(random_secret(), random_secret());
}

struct Ends {
  AcceptingHandshake accepting;
  ConnectingHandshake connecting;
  Ends(const Secret& accepts, const Secret& connects)
      : accepting(accepts, rank_on(0, "head")), connecting(connects, rank_on(3, "node17")) {}
};

TEST(Handshake, IntroducesBothEndsToEachOther) {
  const Secret secret = random_secret();
  Ends ends(secret, secret);
  const auto proof = ends.accepting.check(ends.connecting.answer(ends.accepting.challenge()));
  ASSERT_TRUE(proof.has_value());
  EXPECT_EQ(ends.accepting.peer().rank, 3);
  EXPECT_EQ(std::string(ends.accepting.peer().host), "node17");
  const auto peer = ends.connecting.check(*proof);
  ASSERT_TRUE(peer.has_value());
  EXPECT_EQ(peer->rank, 0);
  EXPECT_EQ(std::string(peer->host), "head");
}

TEST(Handshake, NeitherEndBelievesOneWithoutTheSecret) {
  Ends ends(random_secret(), random_secret());
  EXPECT_FALSE(ends.accepting.check(ends.connecting.answer(ends.accepting.challenge())));
  EXPECT_FALSE(
      ends.connecting.check(std::vector<std::byte>(ConnectingHandshake::kProofBytes)).has_value());
}

TEST(Handshake, AnAnswerCountsOnceAndUnchanged) {
  const Secret secret = random_secret();
  Ends ends(secret, secret);
  const std::vector<std::byte> answer = ends.connecting.answer(ends.accepting.challenge());
  AcceptingHandshake later(secret, rank_on(0, "head"));
  EXPECT_FALSE(later.check(answer).has_value()) << "an answer to another challenge";
  for (std::size_t at = 0; at < answer.size(); ++at) {
    std::vector<std::byte> changed = answer;
    changed[at] ^= std::byte{1};
    EXPECT_FALSE(ends.accepting.check(changed).has_value()) << "byte " << at;
  }
  const auto proof = ends.accepting.check(answer);
  ASSERT_TRUE(proof.has_value());
  for (std::size_t at = 0; at < proof->size(); ++at) {
    std::vector<std::byte> changed = *proof;
    changed[at] ^= std::byte{1};
    EXPECT_FALSE(ends.connecting.check(changed).has_value()) << "byte " << at;
  }
}

/// Accepts links in a thread until it is told to stop.
class Server {
 public:
  explicit Server(Listener listener)
      : place_(listener.place()), thread_([this, one = std::move(listener)]() mutable {
          const std::array listeners{std::move(one)};
          links_ =
              accept_links(listeners, secret_, rank_on(0, "head"), [this] { return stop_.load(); });
        }) {}
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server() { static_cast<void>(links()); }
  [[nodiscard]] const Secret& secret() const { return secret_; }
  /// As ranks of this host reach it.
  [[nodiscard]] Place place() const {
    Place place = place_;
    if (place.unix_name.empty()) place.addresses = {"127.0.0.1"};
    return place;
  }
  /// Stops. @return what was accepted.
  std::vector<Link>& links() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
    return links_;
  }

 private:
  Secret secret_ = random_secret();
  Place place_;
  std::atomic<bool> stop_{false};
  std::vector<Link> links_;
  std::thread thread_;
};

TEST(Listener, LinksCarryBytesBothWays) {
  for (const bool local : {true, false}) {
    Server server(local ? Listener::local() : Listener::network());
    Link link = connect(server.place(), server.secret(), rank_on(1, "node1"));
    EXPECT_EQ(link.peer_name(), "rank 0 on head");
    std::vector<Link>& accepted = server.links();
    ASSERT_EQ(accepted.size(), 1U);
    EXPECT_EQ(accepted[0].peer_name(), "rank 1 on node1");
    accepted[0].send(7);
    link.send_beat(8);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_EQ(link.hear().bytes, std::vector<std::uint8_t>{7});
    EXPECT_EQ(accepted[0].hear().bytes, std::vector<std::uint8_t>{8});
    EXPECT_FALSE(accepted[0].hear().gone);
    link = Link(FileDescriptor(), rank_on(1, "node1"));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_TRUE(accepted[0].hear().gone);
  }
}

/// A peer that does not read: beats are left out before they fill its socket, so that the last byte
/// fits.
TEST(Listener, AGoodbyeFitsBehindAnyNumberOfBeats) {
  Server server(Listener::local());
  Link link = connect(server.place(), server.secret(), rank_on(1, "node1"));
  std::vector<Link>& accepted = server.links();
  ASSERT_EQ(accepted.size(), 1U);
  for (int beat = 0; beat < 100000; ++beat) link.send_beat(0);
  link.send(255);
  const std::vector<std::uint8_t> heard = accepted[0].hear().bytes;
  EXPECT_LT(heard.size(), 100000U);
  ASSERT_FALSE(heard.empty());
  EXPECT_EQ(heard.back(), 255);
}

TEST(Listener, AStrangerWithoutTheSecretGetsNoLink) {
  for (const bool local : {true, false}) {
    Server server(local ? Listener::local() : Listener::network());
    // Both ends hang up at once, so the attempt is repeated until its deadline.
    std::thread stranger([place = server.place()] {
      EXPECT_THROW(static_cast<void>(connect(place, random_secret(), rank_on(1, "node1"))),
                   SystemError);
    });
    Link link = connect(server.place(), server.secret(), rank_on(2, "node1"));
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    ASSERT_EQ(server.links().size(), 1U);
    EXPECT_EQ(server.links()[0].peer_rank(), 2);
    stranger.join();
  }
}

/// Even one who knows the secret.
TEST(Listener, AnotherUserGetsNoLinkOnAUnixSocket) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, who can become another user";
  Server server(Listener::local());
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (::setgid(65534) != 0 || ::setuid(65534) != 0) ::_exit(3);
    const FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM, 0));
    const AbstractAddress address(server.place().unix_name);
    if (::connect(socket.get(), address.get(), address.length()) != 0) ::_exit(2);
    char byte = 0;
    ::_exit(::read(socket.get(), &byte, 1) > 0 ? 1 : 0);  // 0: hung up without a word
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_TRUE(server.links().empty());
}

/// Connects and says nothing, or a byte at a time.
class Flood {
 public:
  Flood(int port, int connections)
      : connections_(connections), thread_([this, port] { run(port); }) {}
  Flood(const Flood&) = delete;
  Flood& operator=(const Flood&) = delete;
  ~Flood() {
    stop_ = true;
    thread_.join();
  }
  [[nodiscard]] int made() const { return made_; }

 private:
  void run(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    std::vector<FileDescriptor> held;
    for (int i = 0; !stop_; ++i) {
      if (made_ < connections_) {
        held.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (::connect(held.back().get(), reinterpret_cast<const sockaddr*>(&address),
                      sizeof(address)) == 0) {
          ++made_;
        }
      }
      const char noise = 'x';
      const FileDescriptor& one = held[static_cast<std::size_t>(i) % held.size()];
      if (i % 3 == 0) static_cast<void>(::send(one.get(), &noise, 1, MSG_NOSIGNAL | MSG_DONTWAIT));
      if (made_ == connections_) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  int connections_;
  std::atomic<int> made_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

TEST(Listener, ThousandsOfSilentAndBabblingConnectionsHoldUpNoRank) {
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = limit.rlim_max;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  constexpr rlim_t kSpare = 1000;
  const int connections = limit.rlim_max > 5000 + kSpare ? 5000 : 2000;
  Server server(Listener::network());
  const Flood flood(server.place().port, connections);
  std::vector<Link> links;
  int rank = 1;
  const SteadyClock::time_point start = SteadyClock::now();
  while (flood.made() < connections && seconds_since(start) < 60) {
    links.push_back(connect(server.place(), server.secret(), rank_on(rank++, "node1")));
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  for (int i = 0; i < 20; ++i) {
    links.push_back(connect(server.place(), server.secret(), rank_on(rank++, "node1")));
  }
  EXPECT_EQ(flood.made(), connections);
  EXPECT_EQ(server.links().size(), links.size());
}

TEST(Connect, SaysAtOnceThatNobodyListens) {
  Place place;
  place.unix_name = unused_socket_name("nobody");
  const SteadyClock::time_point start = SteadyClock::now();
  EXPECT_THROW(static_cast<void>(connect(place, random_secret(), rank_on(1, "node1"))),
               SystemError);
  EXPECT_LT(seconds_since(start), 5);
}

}  // namespace
}  // namespace gridmill::detail
