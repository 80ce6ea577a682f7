// NCCL's all-gather for ranks of one host, processes or threads. Ranks meet when they submit it,
// behind all that their streams wait for; what they got lies in `whole` not before the stream is
// waited for. So it proves that both sides are ordered behind the right work, not what several
// collectives in flight at once do.
#include <fcntl.h>
#include <nccl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "kernels/cuda/runtime.hpp"
#include "support/cuda_emulation/cuda_platform.hpp"

namespace {

constexpr std::size_t kMostRanks = 64;
constexpr std::size_t kPieceBytes = std::size_t{1} << 20;

/// In memory that the ranks share, zero at first.
struct Room {
  std::atomic<std::uint64_t> arrivals;
  std::array<std::array<std::byte, 16>, kMostRanks> devices;
  std::array<std::byte, 1> pieces;  ///< kPieceBytes a rank
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

std::size_t room_bytes(int ranks) {
  return sizeof(Room) + static_cast<std::size_t>(ranks) * kPieceBytes;
}

}  // namespace

struct ncclComm {
  Room* room = nullptr;
  int ranks = 0;
  int rank = 0;

  /// False if the others do not come.
  [[nodiscard]] bool meet() const {
    const std::uint64_t ticket = room->arrivals.fetch_add(1);
    const auto group = static_cast<std::uint64_t>(ranks);
    const std::uint64_t all = (ticket / group + 1) * group;
    const auto limit = std::chrono::steady_clock::now() + std::chrono::minutes(2);
    while (room->arrivals.load() < all) {
      if (std::chrono::steady_clock::now() > limit) return false;
      std::this_thread::yield();
    }
    return true;
  }
  [[nodiscard]] std::byte* piece(int of_rank) const {
    return room->pieces.data() + static_cast<std::size_t>(of_rank) * kPieceBytes;
  }
};

ncclResult_t ncclGetVersion(int* version) {
  *version = 0;
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t result) {
  if (result == ncclSuccess) return "no error";
  return result == ncclInvalidUsage ? "two ranks share a device" : "a rank of the group is missing";
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  static std::atomic<int> number{0};
  const std::string name =
      "/gridmill-emulation-" + std::to_string(::getpid()) + "-" + std::to_string(++number);
  std::memset(id->internal, 0, sizeof id->internal);
  name.copy(id->internal, sizeof id->internal - 1);
  return ncclSuccess;
}

ncclResult_t ncclCommInitRank(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank) {
  if (static_cast<std::size_t>(ranks) > kMostRanks) return ncclInvalidUsage;
  const int file = ::shm_open(id.internal, O_RDWR | O_CREAT, 0600);
  if (file < 0) return ncclSystemError;
  const std::size_t bytes = room_bytes(ranks);
  void* memory = MAP_FAILED;
  if (::ftruncate(file, static_cast<off_t>(bytes)) == 0) {
    memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  }
  ::close(file);
  if (memory == MAP_FAILED) return ncclSystemError;
  auto made = std::make_unique<ncclComm>(ncclComm{static_cast<Room*>(memory), ranks, rank});
  auto& devices = made->room->devices;
  devices[static_cast<std::size_t>(rank)] = gridmill::cuda::device_identity();
  const bool met = made->meet();
  if (rank == 0) ::shm_unlink(id.internal);
  if (!met) return ncclSystemError;
  std::vector<std::array<std::byte, 16>> all(devices.begin(), devices.begin() + ranks);
  std::sort(all.begin(), all.end());
  if (std::adjacent_find(all.begin(), all.end()) != all.end()) return ncclInvalidUsage;
  *comm = made.release();
  return ncclSuccess;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  ::munmap(comm->room, room_bytes(comm->ranks));
  delete comm;  // NOLINT(cppcoreguidelines-owning-memory): a C handle
  return ncclSuccess;
}

ncclResult_t ncclAllGather(const void* part, void* whole, std::size_t count,
                           ncclDataType_t /*type*/, ncclComm_t comm, CUstream_st* stream) {
  gridmill::cuda::emulation::run_submitted(stream);
  const auto ranks = static_cast<std::size_t>(comm->ranks);
  const auto gathered = std::make_shared<std::vector<std::byte>>(count * ranks);
  for (std::size_t done = 0; done < count; done += kPieceBytes) {
    const std::size_t bytes = std::min(kPieceBytes, count - done);
    std::memcpy(comm->piece(comm->rank), static_cast<const std::byte*>(part) + done, bytes);
    if (!comm->meet()) return ncclSystemError;
    for (std::size_t rank = 0; rank < ranks; ++rank) {
      std::memcpy(gathered->data() + rank * count + done, comm->piece(static_cast<int>(rank)),
                  bytes);
    }
    if (!comm->meet()) return ncclSystemError;
  }
  gridmill::cuda::emulation::submit(
      stream, [whole, gathered] { std::memcpy(whole, gathered->data(), gathered->size()); });
  return ncclSuccess;
}
