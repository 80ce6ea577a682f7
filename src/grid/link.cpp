#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <sstream>
#include <utility>

#include "grid/link_detail.hpp"
#include "gridmill/base/clock.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill::link_detail {

namespace {

/// An address that drops packets must not keep the others waiting.
constexpr double kConnect_s = 3;
/// The other end may still be busy with links of its own.
constexpr double kAnswer_s = 30;
/// One of ours introduces itself at once.
constexpr double kIntroduction_s = 1;
constexpr int kBacklog = 4096;

std::string reason() { return std::strerror(errno); }  // NOLINT(concurrency-mt-unsafe)

[[noreturn]] void fail(const std::string& what) {
  throw SystemError(fmt::format("{} failed: {}", what, reason()));
}

bool wait_for(int fd, short events, double seconds) {
  const SteadyClock::time_point start = SteadyClock::now();
  while (true) {
    pollfd one{fd, events, 0};
    const double left_s = seconds - seconds_since(start);
    if (left_s <= 0) return false;
    if (::poll(&one, 1, static_cast<int>(left_s * 1000) + 1) > 0) return true;
  }
}

bool send_introduction(int fd, const Introduction& self) {
  return ::send(fd, &self, sizeof(self), MSG_NOSIGNAL) == sizeof(self);
}

/// The other end's introduction, if it comes in time and is one of ours.
std::optional<Introduction> receive_introduction(int fd, std::uint64_t nonce, double seconds) {
  Introduction peer;
  std::size_t have = 0;
  while (have < sizeof(peer)) {
    if (!wait_for(fd, POLLIN, seconds)) return std::nullopt;
    const ssize_t got =
        ::recv(fd, reinterpret_cast<char*>(&peer) + have, sizeof(peer) - have, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN)) return std::nullopt;
    if (got > 0) have += static_cast<std::size_t>(got);
  }
  if (peer.nonce != nonce) return std::nullopt;
  peer.host[sizeof(peer.host) - 1] = '\0';
  return peer;
}

sockaddr_un unix_address(const std::string& name, socklen_t& length) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  // Abstract: a 0 byte, then the name. Nothing is left in a file system.
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  return address;
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

/// Connects without waiting longer than kConnect_s; not valid if that fails.
FileDescriptor try_connect(int family, const sockaddr* address, socklen_t length) {
  FileDescriptor made(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!made.valid()) return {};
  if (::connect(made.get(), address, length) != 0) {
    int error = 0;
    socklen_t size = sizeof(error);
    if (errno != EINPROGRESS || !wait_for(made.get(), POLLOUT, kConnect_s)) return {};
    if (::getsockopt(made.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) return {};
  }
  return made;
}

FileDescriptor try_network(const std::string& text, int port) {
  sockaddr_in four{};
  four.sin_family = AF_INET;
  four.sin_port = htons(static_cast<std::uint16_t>(port));
  if (::inet_pton(AF_INET, text.c_str(), &four.sin_addr) == 1) {
    return try_connect(AF_INET, reinterpret_cast<const sockaddr*>(&four), sizeof(four));
  }
  sockaddr_in6 six{};
  six.sin6_family = AF_INET6;
  six.sin6_port = four.sin_port;
  if (::inet_pton(AF_INET6, text.c_str(), &six.sin6_addr) != 1) return {};
  return try_connect(AF_INET6, reinterpret_cast<const sockaddr*>(&six), sizeof(six));
}

std::optional<Link> introduce(FileDescriptor socket, const Introduction& self) {
  if (!socket.valid() || !send_introduction(socket.get(), self)) return std::nullopt;
  const auto peer = receive_introduction(socket.get(), self.nonce, kAnswer_s);
  if (!peer) return std::nullopt;
  return Link(std::move(socket), *peer);
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

void Link::send(std::uint8_t byte) {
  if (!socket_.valid()) return;
  const ssize_t sent = ::send(socket_.get(), &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0 && errno != EAGAIN && errno != EINTR) close();
}

Heard Link::hear() {
  Heard heard;
  std::array<std::uint8_t, 256> chunk{};
  while (socket_.valid()) {
    const ssize_t got = ::recv(socket_.get(), chunk.data(), chunk.size(), MSG_DONTWAIT);
    if (got > 0) {
      heard.something = true;
      heard.bytes.insert(heard.bytes.end(), chunk.begin(), chunk.begin() + got);
    } else if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
      break;
    } else {
      heard.gone = true;
      close();
    }
  }
  return heard;
}

Listener Listener::local(const Introduction& self) {
  Place place;
  place.unix_name = fmt::format("gridmill-{:016x}-{}", self.nonce, self.rank);
  FileDescriptor made(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!made.valid()) fail("socket");
  socklen_t length = 0;
  const sockaddr_un address = unix_address(place.unix_name, length);
  if (::bind(made.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0) fail("bind");
  if (::listen(made.get(), kBacklog) != 0) fail("listen");
  return {std::move(made), std::move(place), self};
}

Listener Listener::network(const Introduction& self) {
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
  return {std::move(made), std::move(place), self};
}

std::optional<Link> Listener::accept() {
  FileDescriptor socket(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket.valid()) return std::nullopt;
  const auto peer = receive_introduction(socket.get(), self_.nonce, kIntroduction_s);
  if (!peer || !send_introduction(socket.get(), self_)) return std::nullopt;
  return Link(std::move(socket), *peer);
}

Link connect(const Place& place, const Introduction& self) {
  if (!place.unix_name.empty()) {
    socklen_t length = 0;
    const sockaddr_un address = unix_address(place.unix_name, length);
    auto link =
        introduce(try_connect(AF_UNIX, reinterpret_cast<const sockaddr*>(&address), length), self);
    if (link) return std::move(*link);
  }
  for (const std::string& address : place.addresses) {
    auto link = introduce(try_network(address, place.port), self);
    if (link) return std::move(*link);
  }
  throw SystemError(fmt::format("{} cannot reach another rank of the job at any of: {}", self.host,
                                place.to_text()));
}

}  // namespace gridmill::link_detail
