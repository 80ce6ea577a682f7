#include "grid/unix_socket.hpp"

#include <unistd.h>

#include <cstddef>
#include <cstring>

#include "grid/keyed_hash.hpp"
#include "gridmill/base/check.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill::detail {

AbstractAddress::AbstractAddress(const std::string& name) {
  GRIDMILL_ASSERT(name.size() < sizeof(socket_.sun_path), "a socket name that is too long");
  socket_.sun_family = AF_UNIX;
  std::memcpy(socket_.sun_path + 1, name.data(), name.size());
  length_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
}

std::string unused_socket_name(const std::string& purpose) {
  std::string name = "gridmill-" + purpose + "-";
  const Secret random = random_secret();
  for (std::size_t i = 0; i < 16; ++i) name += fmt::format("{:02x}", static_cast<int>(random[i]));
  return name;
}

bool peer_is_trusted(const FileDescriptor& connection) {
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (::getsockopt(connection.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  return peer.uid == ::geteuid() || peer.uid == 0;
}

}  // namespace gridmill::detail
