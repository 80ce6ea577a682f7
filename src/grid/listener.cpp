#include "grid/listener.hpp"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "grid/unix_socket.hpp"
#include "gridmill/base/clock.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill::detail {

namespace {

constexpr int kBacklog = 4096;
/// A rank answers a challenge at once; the network may lose a packet or two.
constexpr double kAnswer_s = 5;
/// Connections without proof at a time. Far more than ranks need, since a rank's answer takes
/// microseconds; far less than descriptors.
constexpr std::size_t kMostUnproved = 512;
/// So that a flood of new connections does not keep the old ones waiting.
constexpr int kAcceptedAtATime = 64;
constexpr int kTurn_ms = 1;

std::string reason() { return std::strerror(errno); }  // NOLINT(concurrency-mt-unsafe)

[[noreturn]] void fail(const std::string& what) {
  throw SystemError(fmt::format("{} failed: {}", what, reason()));
}

std::string numeric(const sockaddr* address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const void* bytes =
      address->sa_family == AF_INET
          ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in*>(address)->sin_addr)
          : &reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr;
  return ::inet_ntop(address->sa_family, bytes, text.data(), text.size());
}

/// Addresses of this host that others may reach: first those that its name stands for.
std::vector<std::string> own_addresses() {
  std::vector<std::string> own;
  ifaddrs* interfaces = nullptr;
  if (::getifaddrs(&interfaces) != 0) fail("getifaddrs");
  for (const ifaddrs* one = interfaces; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || (one->ifa_flags & IFF_UP) == 0) continue;
    if ((one->ifa_flags & IFF_LOOPBACK) != 0) continue;
    const int family = one->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6) continue;
    std::string text = numeric(one->ifa_addr);
    if (text.rfind("fe80", 0) != 0) own.push_back(std::move(text));  // link-local: of one interface
  }
  ::freeifaddrs(interfaces);

  std::array<char, 256> name{};
  addrinfo* named = nullptr;
  std::vector<std::string> preferred;
  if (::gethostname(name.data(), name.size() - 1) == 0 &&
      ::getaddrinfo(name.data(), nullptr, nullptr, &named) == 0) {
    for (const addrinfo* one = named; one != nullptr; one = one->ai_next) {
      if (one->ai_family == AF_INET || one->ai_family == AF_INET6) {
        preferred.push_back(numeric(one->ai_addr));
      }
    }
    ::freeaddrinfo(named);
  }
  std::stable_partition(own.begin(), own.end(), [&preferred](const std::string& address) {
    return std::find(preferred.begin(), preferred.end(), address) != preferred.end();
  });
  return own;
}

/// A connection that has not proved to be a rank's.
class Unproved {
 public:
  Unproved(FileDescriptor socket, const Secret& secret, const Introduction& self)
      : socket_(std::move(socket)), handshake_(secret, self) {}
  [[nodiscard]] int fd() const { return socket_.get(); }
  [[nodiscard]] bool send_challenge() const { return send(handshake_.challenge()); }
  [[nodiscard]] bool failed() const { return failed_ || seconds_since(start_) > kAnswer_s; }

  /// Reads what is there. @return the link once the answer is there and right.
  [[nodiscard]] std::optional<Link> advance() {
    const ssize_t got =
        ::recv(socket_.get(), answer_.data() + have_, answer_.size() - have_, MSG_DONTWAIT);
    if (got < 0) {
      failed_ = errno != EAGAIN && errno != EINTR;
      return std::nullopt;
    }
    have_ += static_cast<std::size_t>(got);
    failed_ = got == 0;
    if (have_ < answer_.size()) return std::nullopt;
    const auto proof = handshake_.check(answer_);
    failed_ = !proof || !send(*proof);
    if (failed_) return std::nullopt;
    return Link(std::move(socket_), handshake_.peer());
  }

 private:
  /// A fresh connection has room for a few hundred bytes.
  [[nodiscard]] bool send(std::span<const std::byte> bytes) const {
    return ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT) ==
           static_cast<ssize_t>(bytes.size());
  }

  FileDescriptor socket_;
  AcceptingHandshake handshake_;
  SteadyClock::time_point start_ = SteadyClock::now();
  std::array<std::byte, AcceptingHandshake::kAnswerBytes> answer_{};
  std::size_t have_ = 0;
  bool failed_ = false;
};

/// Waits until something happens, a turn at most.
void wait_for_any(std::span<const Listener> listeners, const std::vector<Unproved>& unproved) {
  std::vector<pollfd> descriptors;
  for (const Listener& listener : listeners) descriptors.push_back({listener.fd(), POLLIN, 0});
  for (const Unproved& one : unproved) descriptors.push_back({one.fd(), POLLIN, 0});
  ::poll(descriptors.data(), descriptors.size(), kTurn_ms);
}

}  // namespace

Listener Listener::local() {
  Place place;
  place.unix_name = unused_socket_name("ranks");
  FileDescriptor made(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!made.valid()) fail("socket");
  const AbstractAddress address(place.unix_name);
  if (::bind(made.get(), address.get(), address.length()) != 0) fail("bind");
  if (::listen(made.get(), kBacklog) != 0) fail("listen");
  return {std::move(made), std::move(place)};
}

Listener Listener::network() {
  Place place;
  place.addresses = own_addresses();
  // One socket for both families where there is IPv6, else IPv4.
  FileDescriptor made(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_storage address{};
  socklen_t length = sizeof(sockaddr_in6);
  address.ss_family = AF_INET6;  // address "any", port 0 = the system's choice
  const int off = 0;
  if (!made.valid() ||
      ::setsockopt(made.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) != 0 ||
      ::bind(made.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0) {
    made = FileDescriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    address = {};
    address.ss_family = AF_INET;
    length = sizeof(sockaddr_in);
    if (!made.valid() ||
        ::bind(made.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0) {
      fail("bind");
    }
  }
  length = sizeof(address);
  if (::listen(made.get(), kBacklog) != 0) fail("listen");
  if (::getsockname(made.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    fail("getsockname");
  }
  place.port =
      ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                                          : reinterpret_cast<const sockaddr_in&>(address).sin_port);
  return {std::move(made), std::move(place)};
}

FileDescriptor Listener::accept() const {
  for (int i = 0; i < kAcceptedAtATime; ++i) {
    FileDescriptor made(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!made.valid() || !is_local() || peer_is_trusted(made)) return made;
  }
  return {};
}

std::vector<Link> accept_links(std::span<const Listener> listeners, const Secret& secret,
                               const Introduction& self, const std::function<bool()>& finished) {
  std::vector<Link> links;
  std::vector<Unproved> unproved;
  std::size_t victim = 0;
  const auto admit = [&](FileDescriptor socket) {
    Unproved fresh(std::move(socket), secret, self);
    if (!fresh.send_challenge()) return;
    if (unproved.size() < kMostUnproved) {
      unproved.push_back(std::move(fresh));
    } else {
      // In turn, so that each lives for kMostUnproved newer ones. A rank that is hit tries again.
      victim = (victim + 1) % unproved.size();
      std::swap(unproved[victim], fresh);
    }
  };
  while (!finished()) {
    wait_for_any(listeners, unproved);
    for (Unproved& one : unproved) {
      std::optional<Link> link = one.advance();
      if (!link) continue;
      std::erase_if(links, [&](const Link& old) { return old.peer_rank() == link->peer_rank(); });
      links.push_back(std::move(*link));
    }
    std::erase_if(unproved, [](const Unproved& one) { return one.fd() < 0 || one.failed(); });
    for (const Listener& listener : listeners) {
      for (int i = 0; i < kAcceptedAtATime; ++i) {
        FileDescriptor socket = listener.accept();
        if (!socket.valid()) break;
        admit(std::move(socket));
      }
    }
  }
  return links;
}

}  // namespace gridmill::detail
