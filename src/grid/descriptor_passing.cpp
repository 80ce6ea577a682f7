#include "grid/descriptor_passing.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>

#include "grid/unix_socket.hpp"
#include "gridmill/base/clock.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/grid/collectives.hpp"

namespace gridmill::detail {

namespace {

constexpr int kTimeoutMs = 30'000;

[[noreturn]] void fail(const char* call) {
  throw ResourceError(fmt::format(
      "ranks of one node cannot share memory ({}: {}); run them in one pid or network namespace, "
      "or leave out --gather-params-once",
      call, std::strerror(errno)));  // NOLINT(concurrency-mt-unsafe)
}

/// A message of one byte that carries at most one descriptor.
struct Parcel {
  std::byte payload{1};
  iovec data{&payload, 1};
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
  msghdr header{};
  Parcel() {
    header.msg_iov = &data;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
  }
  Parcel(const Parcel&) = delete;
  Parcel& operator=(const Parcel&) = delete;
};

void send_descriptor(int socket, int fd) {
  Parcel parcel;
  cmsghdr* message = CMSG_FIRSTHDR(&parcel.header);
  message->cmsg_level = SOL_SOCKET;
  message->cmsg_type = SCM_RIGHTS;
  message->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(message), &fd, sizeof(int));
  if (::sendmsg(socket, &parcel.header, MSG_NOSIGNAL) != 1) fail("sendmsg");
}

FileDescriptor receive_descriptor(int socket) {
  pollfd ready{socket, POLLIN, 0};
  if (::poll(&ready, 1, kTimeoutMs) != 1) fail("poll");
  Parcel parcel;
  if (::recvmsg(socket, &parcel.header, MSG_CMSG_CLOEXEC) != 1) fail("recvmsg");
  const cmsghdr* message = CMSG_FIRSTHDR(&parcel.header);
  if (message == nullptr || message->cmsg_type != SCM_RIGHTS) fail("recvmsg");
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(message), sizeof(int));
  return FileDescriptor(fd);
}

}  // namespace

namespace {

/// Whether the connection stands; false if rank 0's backlog is full, of strangers say.
bool try_to_connect(const FileDescriptor& socket, const AbstractAddress& address) {
  if (::connect(socket.get(), address.get(), address.length()) == 0) return true;
  if (errno != EAGAIN) fail("connect");
  return false;
}

/// Serves every other rank of `comm` once. Connections of other users are closed at once.
void serve(const Communicator& comm, const FileDescriptor& listener, const FileDescriptor& own) {
  const SteadyClock::time_point start = SteadyClock::now();
  for (int served = 1; served < comm.size();) {
    const auto left_ms = static_cast<int>(kTimeoutMs - 1000 * seconds_since(start));
    pollfd ready{listener.get(), POLLIN, 0};
    if (left_ms <= 0 || ::poll(&ready, 1, left_ms) == 0) {
      errno = ETIMEDOUT;
      fail("accept");
    }
    const FileDescriptor connection(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!connection.valid() || !peer_is_trusted(connection)) continue;
    send_descriptor(connection.get(), own.get());
    ++served;
  }
}

FileDescriptor ask(const FileDescriptor& socket, const AbstractAddress& address, bool connected) {
  if (!connected) {
    // Waits for a place in the backlog, in the order of arrival.
    const timeval patience{kTimeoutMs / 1000, 0};
    const int flags = ::fcntl(socket.get(), F_GETFL);
    if (::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) != 0 ||
        ::fcntl(socket.get(), F_SETFL, flags & ~O_NONBLOCK) != 0 ||
        ::connect(socket.get(), address.get(), address.length()) != 0) {
      fail("connect");
    }
  }
  if (!peer_is_trusted(socket)) {
    errno = EPERM;
    fail("connect");
  }
  return receive_descriptor(socket.get());
}

}  // namespace

FileDescriptor pass_descriptor(const Communicator& comm, const FileDescriptor& own) {
  std::string name = agree_on(
      comm, [&] { return comm.rank() == 0 ? unused_socket_name("memory") : std::string(); });
  broadcast(comm, 0, name);
  const AbstractAddress address(name);

  const FileDescriptor socket = agree_on(comm, [&] {
    FileDescriptor made(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!made.valid()) fail("socket");
    if (comm.rank() == 0) {
      if (::bind(made.get(), address.get(), address.length()) != 0) fail("bind");
      if (::listen(made.get(), comm.size()) != 0) fail("listen");
    }
    return made;
  });
  // A rank that cannot reach the socket at all ends the attempt here, before anybody waits.
  const bool connected =
      agree_on(comm, [&] { return comm.rank() == 0 || try_to_connect(socket, address); });
  return agree_on(comm, [&] {
    if (comm.rank() != 0) return ask(socket, address, connected);
    serve(comm, socket, own);
    return FileDescriptor();
  });
}

}  // namespace gridmill::detail
