#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gridmill/base/file.hpp"

namespace gridmill::link_detail {

/// How two ends of a link introduce themselves. Trivially copyable; both ends run the same binary.
struct Introduction {
  std::uint64_t nonce = 0;  ///< of the job: keeps strangers out
  std::int32_t rank = 0;
  char host[60] = {};  // NOLINT(modernize-avoid-c-arrays): travels as bytes
};

/// Where a listener can be reached: an abstract Unix name, or a port and numeric addresses, best
/// first. Travels as text.
struct Place {
  std::string unix_name;
  int port = 0;
  std::vector<std::string> addresses;
  [[nodiscard]] std::string to_text() const;
  [[nodiscard]] static Place from_text(const std::string& text);
};

/// What a look at a link has brought.
struct Heard {
  bool something = false;
  bool gone = false;  ///< closed or broken; nothing more will come
  std::vector<std::uint8_t> bytes;
};

/// A connection that carries single bytes and never blocks.
class Link {
 public:
  Link(FileDescriptor socket, const Introduction& peer);
  [[nodiscard]] int fd() const { return socket_.get(); }
  [[nodiscard]] bool open() const { return socket_.valid(); }
  /// "rank 3 on node17".
  [[nodiscard]] std::string peer_name() const;
  /// A byte that does not fit is dropped: the peer has not read the ones before.
  void send(std::uint8_t byte);
  [[nodiscard]] Heard hear();
  void close() { socket_ = FileDescriptor(); }

 private:
  FileDescriptor socket_;
  Introduction peer_;
};

/// Accepts links from ranks that know the nonce.
class Listener {
 public:
  /// On an abstract Unix socket. @throws SystemError
  [[nodiscard]] static Listener local(const Introduction& self);
  /// On a TCP port that the system picks, reachable from other hosts. @throws SystemError
  [[nodiscard]] static Listener network(const Introduction& self);
  [[nodiscard]] const Place& place() const { return place_; }
  [[nodiscard]] int fd() const { return socket_.get(); }
  /// The link that waits, if it is one of ours.
  [[nodiscard]] std::optional<Link> accept();

 private:
  Listener(FileDescriptor socket, Place place, const Introduction& self)
      : socket_(std::move(socket)), place_(std::move(place)), self_(self) {}
  FileDescriptor socket_;
  Place place_;
  Introduction self_;
};

/// @throws SystemError naming the place if nobody there answers with the job's nonce.
[[nodiscard]] Link connect(const Place& place, const Introduction& self);

}  // namespace gridmill::link_detail
