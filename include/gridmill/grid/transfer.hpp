#pragma once

#include <mpi.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "gridmill/grid/mpi_handles.hpp"

namespace gridmill {

/// Bytes that go to, or come from, rank `peer`.
struct OutgoingPiece {
  int peer = 0;
  std::span<const std::byte> bytes;
};
struct IncomingPiece {
  int peer = 0;
  std::span<std::byte> bytes;
};

/// Moves pieces between pairs of ranks; returns when all of this rank's have arrived or left. Every
/// pair must list the same sizes in the same order on both sides. Pieces of any size; empty ones
/// are skipped.
void transfer_pieces(const Communicator& comm, std::span<const OutgoingPiece> outgoing,
                     std::span<const IncomingPiece> incoming);

/// A gather in flight: every rank's block arrives everywhere. The memory must stay until wait() has
/// returned; the destructor waits.
class PendingGather {
 public:
  PendingGather() = default;
  /// Collective over `comm`, without waiting.
  /// @param part    this rank's block; may be its own place in `whole`, then on every rank.
  /// @param counts  blocks' sizes in elements of `element_bytes`, in rank order.
  PendingGather(const Communicator& comm, std::span<const std::byte> part,
                std::span<const std::int64_t> counts, std::size_t element_bytes,
                std::span<std::byte> whole);
  PendingGather(PendingGather&& other) noexcept { swap(other); }
  PendingGather& operator=(PendingGather&& other) noexcept {
    swap(other);
    return *this;
  }
  ~PendingGather();

  /// Lets MPI work on it. @return true if nothing is in flight any more.
  bool test();
  void wait();

 private:
  void swap(PendingGather& other) noexcept;
  MPI_Request request_ = MPI_REQUEST_NULL;
  MPI_Datatype type_ = MPI_DATATYPE_NULL;
  std::vector<int> counts_;  // MPI reads these until the gather has finished
  std::vector<int> offsets_;
};

}  // namespace gridmill
