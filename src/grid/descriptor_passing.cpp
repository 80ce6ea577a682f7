#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <random>
#include <string>

#include "grid/descriptor_passing_detail.hpp"
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

struct Address {
  sockaddr_un socket{};
  socklen_t length = 0;
};

/// A leading zero byte: a name outside the file system, gone with its socket.
Address abstract_address(const std::string& name) {
  Address address;
  address.socket.sun_family = AF_UNIX;
  std::memcpy(address.socket.sun_path + 1, name.data(), name.size());
  address.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  return address;
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

FileDescriptor pass_descriptor(const Communicator& comm, const FileDescriptor& own) {
  std::string name;
  if (comm.rank() == 0) {
    std::random_device random;  // only a name that no other job uses
    name = fmt::format("gridmill-{}-{:08x}{:08x}", ::getpid(), random(), random());
  }
  broadcast(comm, 0, name);
  const Address address = abstract_address(name);
  const auto* where = reinterpret_cast<const sockaddr*>(&address.socket);

  // Listen, connect, accept: a connection waits in the backlog, so three stages cannot block.
  const FileDescriptor socket = agree_on(comm, [&] {
    FileDescriptor made(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!made.valid()) fail("socket");
    if (comm.rank() == 0) {
      if (::bind(made.get(), where, address.length) != 0) fail("bind");
      if (::listen(made.get(), comm.size()) != 0) fail("listen");
    }
    return made;
  });
  agree_on(comm, [&] {
    if (comm.rank() != 0 && ::connect(socket.get(), where, address.length) != 0) fail("connect");
  });
  return agree_on(comm, [&] {
    if (comm.rank() != 0) return receive_descriptor(socket.get());
    for (int peer = 1; peer < comm.size(); ++peer) {
      const FileDescriptor connection(::accept4(socket.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!connection.valid()) fail("accept");
      send_descriptor(connection.get(), own.get());
    }
    return FileDescriptor();
  });
}

}  // namespace gridmill::detail
