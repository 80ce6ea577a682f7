#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <string>

#include "gridmill/base/file.hpp"

namespace gridmill::detail {

/// Address of an abstract Unix socket: a name outside the file system, gone with its socket. Every
/// user of the host can read the name in /proc/net/unix and connect: it is no secret.
struct AbstractAddress {
  explicit AbstractAddress(const std::string& name);
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&socket_); }
  [[nodiscard]] socklen_t length() const { return length_; }

 private:
  sockaddr_un socket_{};
  socklen_t length_ = 0;
};

/// "gridmill-PURPOSE-" and random digits: no other socket has it. @throws SystemError
[[nodiscard]] std::string unused_socket_name(const std::string& purpose);

/// Whether the process at the other end of a Unix socket runs as this process's user (root is
/// trusted too).
[[nodiscard]] bool peer_is_trusted(const FileDescriptor& connection);

}  // namespace gridmill::detail
