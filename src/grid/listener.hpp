#pragma once

#include <functional>
#include <span>
#include <vector>

#include "grid/link.hpp"

namespace gridmill::detail {

/// A socket that ranks of the job connect to.
class Listener {
 public:
  /// On an abstract Unix socket; processes of other users are turned away. @throws SystemError
  [[nodiscard]] static Listener local();
  /// On a TCP port that the system picks, reachable from other hosts. @throws SystemError
  [[nodiscard]] static Listener network();
  [[nodiscard]] const Place& place() const { return place_; }
  [[nodiscard]] int fd() const { return socket_.get(); }
  [[nodiscard]] bool is_local() const { return !place_.unix_name.empty(); }
  /// A connection that waits, not valid if there is none.
  [[nodiscard]] FileDescriptor accept() const;

 private:
  Listener(FileDescriptor socket, Place place)
      : socket_(std::move(socket)), place_(std::move(place)) {}
  FileDescriptor socket_;
  Place place_;
};

/// Accepts links from ranks that prove to know the secret, until `finished`, which is called about
/// every millisecond. Strangers may connect in any number, send anything and nothing: they hold up
/// no rank, since nothing here waits for one connection, and their number is bounded.
/// @return one link a rank; of a rank that connected again the newest.
[[nodiscard]] std::vector<Link> accept_links(std::span<const Listener> listeners,
                                             const Secret& secret, const Introduction& self,
                                             const std::function<bool()>& finished);

}  // namespace gridmill::detail
