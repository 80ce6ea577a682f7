#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "grid/handshake.hpp"
#include "gridmill/base/file.hpp"

namespace gridmill::detail {

/// Where a listener can be reached: an abstract Unix name, or a port and numeric addresses, best
/// first. Travels as text. Nothing in it is secret.
struct Place {
  std::string unix_name;
  int port = 0;
  std::vector<std::string> addresses;
  [[nodiscard]] std::string to_text() const;
  [[nodiscard]] static Place from_text(const std::string& text);
};

/// Bytes that a link has brought, and whether more can come.
struct Heard {
  bool gone = false;  ///< closed or broken; nothing more will come
  std::vector<std::uint8_t> bytes;
};

/// A connection to a rank that has proved to belong to the job. It carries single bytes and never
/// blocks.
class Link {
 public:
  Link(FileDescriptor socket, const Introduction& peer);
  [[nodiscard]] int fd() const { return socket_.get(); }
  [[nodiscard]] int peer_rank() const { return peer_.rank; }
  /// "rank 3 on node17".
  [[nodiscard]] std::string peer_name() const;
  /// A sign of life. Not sent while the peer leaves many unread: the last byte must always fit.
  void send_beat(std::uint8_t byte);
  /// A byte that must reach the peer.
  void send(std::uint8_t byte);
  [[nodiscard]] Heard hear();

 private:
  FileDescriptor socket_;
  Introduction peer_;
};

/// Proves to the listener at `place` that this rank belongs to the job, and checks the listener.
/// Waits as long as the listener may be busy with links of its own.
/// @throws SystemError naming the place if no listener there knows the job's secret.
[[nodiscard]] Link connect(const Place& place, const Secret& secret, const Introduction& self);

}  // namespace gridmill::detail
