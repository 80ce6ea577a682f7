#include "gridmill/grid/transfer.hpp"

#include <algorithm>
#include <climits>
#include <string>
#include <utility>

#include "gridmill/base/check.hpp"

// The checker does not follow a request from the function that starts it to the one that waits.
// NOLINTBEGIN(clang-analyzer-optin.mpi.MPI-Checker)
namespace gridmill {

namespace {
/// MPI counts are int.
constexpr std::size_t kMessageBytes = std::size_t{1} << 29;
constexpr int kTag = 0;  // messages of one pair arrive in the order in which they were sent
}  // namespace

void transfer_pieces(const Communicator& comm, std::span<const OutgoingPiece> outgoing,
                     std::span<const IncomingPiece> incoming) {
  std::vector<MPI_Request> requests;
  for (const IncomingPiece& piece : incoming) {
    for (std::size_t done = 0; done < piece.bytes.size(); done += kMessageBytes) {
      const std::size_t count = std::min(kMessageBytes, piece.bytes.size() - done);
      check_mpi(MPI_Irecv(piece.bytes.data() + done, static_cast<int>(count), MPI_BYTE, piece.peer,
                          kTag, comm.get(), &requests.emplace_back()),
                "MPI_Irecv");
    }
  }
  for (const OutgoingPiece& piece : outgoing) {
    for (std::size_t done = 0; done < piece.bytes.size(); done += kMessageBytes) {
      const std::size_t count = std::min(kMessageBytes, piece.bytes.size() - done);
      check_mpi(MPI_Isend(piece.bytes.data() + done, static_cast<int>(count), MPI_BYTE, piece.peer,
                          kTag, comm.get(), &requests.emplace_back()),
                "MPI_Isend");
    }
  }
  check_mpi(MPI_Waitall(static_cast<int>(requests.size()), requests.data(), MPI_STATUSES_IGNORE),
            "MPI_Waitall");
}

PendingGather::PendingGather(const Communicator& comm, std::span<const std::byte> part,
                             std::span<const std::int64_t> counts, std::size_t element_bytes,
                             std::span<std::byte> whole) {
  GRIDMILL_ASSERT(static_cast<int>(counts.size()) == comm.size(), "a gather needs a count a rank");
  std::int64_t offset = 0;
  for (const std::int64_t count : counts) {
    GRIDMILL_ASSERT(count >= 0 && offset + count <= INT_MAX,
                    "a gather of " + std::to_string(offset + count) + " elements");
    counts_.push_back(static_cast<int>(count));
    offsets_.push_back(static_cast<int>(offset));
    offset += count;
  }
  GRIDMILL_ASSERT(whole.size() >= static_cast<std::size_t>(offset) * element_bytes,
                  "a gather needs room for every block");
  const auto own = static_cast<std::size_t>(comm.rank());
  check_mpi(MPI_Type_contiguous(static_cast<int>(element_bytes), MPI_BYTE, &type_),
            "MPI_Type_contiguous");
  check_mpi(MPI_Type_commit(&type_), "MPI_Type_commit");
  const std::byte* place = whole.data() + static_cast<std::size_t>(offsets_[own]) * element_bytes;
  const void* source = part.data() == place ? MPI_IN_PLACE : part.data();
  check_mpi(MPI_Iallgatherv(source, counts_[own], type_, whole.data(), counts_.data(),
                            offsets_.data(), type_, comm.get(), &request_),
            "MPI_Iallgatherv");
}

PendingGather::~PendingGather() {
  // Errors cannot be told from here; the memory must not be freed under a gather that goes on.
  if (request_ != MPI_REQUEST_NULL) MPI_Wait(&request_, MPI_STATUS_IGNORE);
  if (type_ != MPI_DATATYPE_NULL) MPI_Type_free(&type_);
}

void PendingGather::swap(PendingGather& other) noexcept {
  std::swap(request_, other.request_);
  std::swap(type_, other.type_);
  counts_.swap(other.counts_);
  offsets_.swap(other.offsets_);
}

bool PendingGather::test() {
  if (request_ == MPI_REQUEST_NULL) return true;
  int done = 0;
  check_mpi(MPI_Test(&request_, &done, MPI_STATUS_IGNORE), "MPI_Test");
  return done != 0;
}

void PendingGather::wait() {
  if (request_ != MPI_REQUEST_NULL) {
    check_mpi(MPI_Wait(&request_, MPI_STATUS_IGNORE), "MPI_Wait");
  }
}

}  // namespace gridmill
// NOLINTEND(clang-analyzer-optin.mpi.MPI-Checker)
