#include "grid/link.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <optional>
#include <sstream>
#include <thread>
#include <utility>

#include "grid/unix_socket.hpp"
#include "gridmill/base/clock.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill::detail {

namespace {

/// For the whole handshake: the other end may still be busy with links of its own.
constexpr double kHandshake_s = 30;
/// An address that drops packets, or at which another program listens, must not keep the others
/// waiting.
constexpr double kAddress_s = 3;
/// Before the next attempt where the other end hung up: it was flooded by strangers.
constexpr std::chrono::milliseconds kPause{20};

/// A point in time up to which calls may wait.
class Deadline {
 public:
  explicit Deadline(double seconds) : seconds_(seconds) {}
  [[nodiscard]] double left_s() const { return seconds_ - seconds_since(start_); }

 private:
  SteadyClock::time_point start_ = SteadyClock::now();
  double seconds_;
};

bool wait_for(int fd, short events, const Deadline& deadline) {
  while (true) {
    pollfd one{fd, events, 0};
    const double left_s = deadline.left_s();
    if (left_s <= 0) return false;
    if (::poll(&one, 1, static_cast<int>(left_s * 1000) + 1) > 0) return true;
  }
}

/// How an attempt to connect ended.
enum class Outcome : std::uint8_t {
  linked,
  busy,     ///< the listener had no room or hung up: worth another attempt
  refused,  ///< no listener there, or one of another job
};

struct Attempt {
  Outcome outcome = Outcome::refused;
  std::optional<Link> link;
};

/// Fills `bytes` from a socket.
Outcome receive(int fd, std::span<std::byte> bytes, const Deadline& deadline) {
  std::size_t have = 0;
  while (have < bytes.size()) {
    if (!wait_for(fd, POLLIN, deadline)) return Outcome::refused;
    const ssize_t got = ::recv(fd, bytes.data() + have, bytes.size() - have, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN)) return Outcome::busy;
    if (got > 0) have += static_cast<std::size_t>(got);
  }
  return Outcome::linked;
}

Attempt shake_hands(FileDescriptor socket, const Secret& secret, const Introduction& self,
                    const Deadline& deadline) {
  ConnectingHandshake handshake(secret, self);
  std::array<std::byte, ConnectingHandshake::kChallengeBytes> challenge{};
  if (const Outcome end = receive(socket.get(), challenge, deadline); end != Outcome::linked) {
    return {end, {}};
  }
  const std::vector<std::byte> answer = handshake.answer(challenge);
  if (::send(socket.get(), answer.data(), answer.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(answer.size())) {
    return {Outcome::busy, {}};
  }
  std::array<std::byte, ConnectingHandshake::kProofBytes> proof{};
  if (const Outcome end = receive(socket.get(), proof, deadline); end != Outcome::linked) {
    return {end, {}};
  }
  const std::optional<Introduction> peer = handshake.check(proof);
  if (!peer) return {Outcome::refused, {}};
  return {Outcome::linked, Link(std::move(socket), *peer)};
}

/// A connected socket; not valid, with the reason in `outcome`, if that fails.
FileDescriptor connected(int family, const sockaddr* address, socklen_t length,
                         const Deadline& deadline, Outcome& outcome) {
  outcome = Outcome::refused;
  FileDescriptor made(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!made.valid()) return {};
  if (::connect(made.get(), address, length) != 0) {
    if (errno == EAGAIN) outcome = Outcome::busy;  // a Unix socket with a full backlog
    if (errno != EINPROGRESS || !wait_for(made.get(), POLLOUT, deadline)) return {};
    int error = 0;
    socklen_t size = sizeof(error);
    if (::getsockopt(made.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) return {};
  }
  return made;
}

Attempt try_local(const std::string& name, const Secret& secret, const Introduction& self,
                  const Deadline& deadline) {
  const AbstractAddress address(name);
  Attempt attempt;
  FileDescriptor socket =
      connected(AF_UNIX, address.get(), address.length(), deadline, attempt.outcome);
  if (!socket.valid() || !peer_is_trusted(socket)) return attempt;
  return shake_hands(std::move(socket), secret, self, deadline);
}

Attempt try_network(const std::string& text, int port, const Secret& secret,
                    const Introduction& self, double seconds) {
  const Deadline deadline(std::min(seconds, kAddress_s));
  sockaddr_in four{};
  four.sin_family = AF_INET;
  four.sin_port = htons(static_cast<std::uint16_t>(port));
  sockaddr_in6 six{};
  six.sin6_family = AF_INET6;
  six.sin6_port = four.sin_port;
  Attempt attempt;
  FileDescriptor socket;
  if (::inet_pton(AF_INET, text.c_str(), &four.sin_addr) == 1) {
    socket = connected(AF_INET, reinterpret_cast<const sockaddr*>(&four), sizeof(four), deadline,
                       attempt.outcome);
  } else if (::inet_pton(AF_INET6, text.c_str(), &six.sin6_addr) == 1) {
    socket = connected(AF_INET6, reinterpret_cast<const sockaddr*>(&six), sizeof(six), deadline,
                       attempt.outcome);
  }
  if (!socket.valid()) return attempt;
  return shake_hands(std::move(socket), secret, self, deadline);
}

}  // namespace

std::string Place::to_text() const {
  std::string text = fmt::format("{} {}", unix_name.empty() ? "-" : unix_name, port);
  for (const std::string& address : addresses) text += " " + address;
  return text;
}

Place Place::from_text(const std::string& text) {
  std::istringstream words(text);
  Place place;
  words >> place.unix_name >> place.port;
  if (place.unix_name == "-") place.unix_name.clear();
  for (std::string address; words >> address;) place.addresses.push_back(address);
  return place;
}

Link::Link(FileDescriptor socket, const Introduction& peer)
    : socket_(std::move(socket)), peer_(peer) {
  const int flags = ::fcntl(socket_.get(), F_GETFL);
  ::fcntl(socket_.get(), F_SETFL, flags | O_NONBLOCK);
}

std::string Link::peer_name() const { return fmt::format("rank {} on {}", peer_.rank, peer_.host); }

void Link::send_beat(std::uint8_t byte) {
  int unread = 0;
  int room = 0;
  socklen_t size = sizeof(room);
  const bool known = ::ioctl(socket_.get(), SIOCOUTQ, &unread) == 0 &&
                     ::getsockopt(socket_.get(), SOL_SOCKET, SO_SNDBUF, &room, &size) == 0;
  if (known && unread > room / 2) return;
  send(byte);
}

void Link::send(std::uint8_t byte) {
  // A link that broke is found by hear(), after the last bytes that the peer sent.
  static_cast<void>(::send(socket_.get(), &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT));
}

Heard Link::hear() {
  Heard heard;
  std::array<std::uint8_t, 256> chunk{};
  while (true) {
    const ssize_t got = ::recv(socket_.get(), chunk.data(), chunk.size(), MSG_DONTWAIT);
    if (got > 0) {
      heard.bytes.insert(heard.bytes.end(), chunk.begin(), chunk.begin() + got);
      continue;
    }
    heard.gone = got == 0 || (errno != EAGAIN && errno != EINTR);
    return heard;
  }
}

Link connect(const Place& place, const Secret& secret, const Introduction& self) {
  const Deadline deadline(kHandshake_s);
  bool again = true;
  while (again && deadline.left_s() > 0) {
    again = false;
    const auto take = [&](Attempt attempt) {
      again = again || attempt.outcome == Outcome::busy;
      return std::move(attempt.link);
    };
    if (!place.unix_name.empty()) {
      if (auto link = take(try_local(place.unix_name, secret, self, deadline))) {
        return std::move(*link);
      }
    }
    for (const std::string& address : place.addresses) {
      auto link = take(try_network(address, place.port, secret, self, deadline.left_s()));
      if (link) return std::move(*link);
    }
    if (again) std::this_thread::sleep_for(kPause);
  }
  throw SystemError(fmt::format("{} cannot reach another rank of the job at any of: {}", self.host,
                                place.to_text()));
}

}  // namespace gridmill::detail
