#pragma once

#include <mpi.h>

#include <cstddef>
#include <cstring>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

#include "gridmill/base/check.hpp"
#include "gridmill/grid/mpi_handles.hpp"

namespace gridmill {

/// A small message that has arrived.
struct Message {
  int from = 0;
  int tag = 0;
  std::vector<std::byte> bytes;

  /// The value that was sent. @throws InternalError if the size differs.
  template <typename T>
  requires std::is_trivially_copyable_v<T>
  [[nodiscard]] T as() const {
    GRIDMILL_ASSERT(bytes.size() == sizeof(T), "a message of another type");
    T value{};
    std::memcpy(&value, bytes.data(), sizeof(T));
    return value;
  }
};

/// Two-sided messages between any ranks, without waiting: for a server of work that also computes.
/// Has a communicator of its own, so its messages meet no others. Messages of a pair of ranks
/// arrive in order.
class Mailbox {
 public:
  /// Collective over `comm`.
  explicit Mailbox(const Communicator& comm) : comm_(Communicator::duplicate(comm.get())) {}
  Mailbox(Mailbox&&) = delete;
  /// Does not wait for messages that have not left.
  ~Mailbox();

  [[nodiscard]] int rank() const { return comm_.rank(); }
  [[nodiscard]] int size() const { return comm_.size(); }

  /// Small enough for every transport to buffer it, so that a send needs no receiver to finish.
  static constexpr std::size_t kMaxBytes = 2048;

  /// Sends a copy of `bytes` (at most kMaxBytes) to rank `to`, also to oneself. Returns at once.
  void send(int to, int tag, std::span<const std::byte> bytes);
  template <typename T>
  requires std::is_trivially_copyable_v<T>
  void send(int to, int tag, const T& value) { send(to, tag, std::as_bytes(std::span(&value, 1))); }
  /// The next message that has arrived, from any rank, if any.
  [[nodiscard]] std::optional<Message> poll();

 private:
  struct Outgoing {
    std::unique_ptr<std::vector<std::byte>> bytes;
    MPI_Request request = MPI_REQUEST_NULL;
  };
  void drop_finished();

  Communicator comm_;
  std::deque<Outgoing> outgoing_;
};

}  // namespace gridmill
