#include "gridmill/grid/mailbox.hpp"

#include <string>

// The checker does not follow a request from the function that starts it to the one that waits.
// NOLINTBEGIN(clang-analyzer-optin.mpi.MPI-Checker)
namespace gridmill {

Mailbox::~Mailbox() {
  int finalised = 0;
  MPI_Finalized(&finalised);
  if (finalised != 0) return;
  for (Outgoing& message : outgoing_) {
    int done = 0;
    MPI_Test(&message.request, &done, MPI_STATUS_IGNORE);
    if (done != 0) continue;
    // Open MPI cannot cancel a send; it keeps reading these bytes, so they must outlive us.
    MPI_Request_free(&message.request);
    static_cast<void>(message.bytes.release());
  }
}

void Mailbox::send(int to, int tag, std::span<const std::byte> bytes) {
  GRIDMILL_ASSERT(bytes.size() <= kMaxBytes,
                  "a message of " + std::to_string(bytes.size()) + " bytes");
  drop_finished();
  Outgoing& message = outgoing_.emplace_back();
  message.bytes = std::make_unique<std::vector<std::byte>>(bytes.begin(), bytes.end());
  check_mpi(MPI_Isend(message.bytes->data(), static_cast<int>(bytes.size()), MPI_BYTE, to, tag,
                      comm_.get(), &message.request),
            "MPI_Isend");
}

std::optional<Message> Mailbox::poll() {
  drop_finished();
  int arrived = 0;
  MPI_Status status{};
  check_mpi(MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, comm_.get(), &arrived, &status), "MPI_Iprobe");
  if (arrived == 0) return std::nullopt;
  int count = 0;
  check_mpi(MPI_Get_count(&status, MPI_BYTE, &count), "MPI_Get_count");
  Message message{status.MPI_SOURCE, status.MPI_TAG,
                  std::vector<std::byte>(static_cast<std::size_t>(count))};
  check_mpi(MPI_Recv(message.bytes.data(), count, MPI_BYTE, message.from, message.tag, comm_.get(),
                     MPI_STATUS_IGNORE),
            "MPI_Recv");
  return message;
}

void Mailbox::drop_finished() {
  while (!outgoing_.empty()) {
    int done = 0;
    check_mpi(MPI_Test(&outgoing_.front().request, &done, MPI_STATUS_IGNORE), "MPI_Test");
    if (done == 0) return;
    outgoing_.pop_front();
  }
}

}  // namespace gridmill
// NOLINTEND(clang-analyzer-optin.mpi.MPI-Checker)
