#include "kernels/cuda/nccl_exchange.hpp"

#include <nccl.h>

#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "kernels/cuda/cuda_stream.hpp"

namespace gridmill::cuda {

namespace {

void check(ncclResult_t status, const char* call) {
  if (status != ncclSuccess) {
    throw SystemError(fmt::format("{} failed: {}", call, ncclGetErrorString(status)));
  }
}

}  // namespace

bool has_collectives() { return true; }

std::string collectives_version() {
  int version = 0;
  if (ncclGetVersion(&version) != ncclSuccess) return "unknown";
  return fmt::format("{}.{}.{}", version / 10000, version % 10000 / 100, version % 100);
}

NcclExchange::NcclExchange(Exchange& group) : group_(group) {
  // Rank 0's id reaches the others over the host.
  ncclUniqueId id{};
  if (group.rank() == 0) check(ncclGetUniqueId(&id), "ncclGetUniqueId");
  std::vector<ncclUniqueId> ids(static_cast<std::size_t>(group.size()));
  group.all_gather_host(&id, sizeof id, ids.data());
  check(ncclCommInitRank(&comm_, group.size(), ids.front(), group.rank()), "ncclCommInitRank");
}

// An abort would be needed only with work in flight; users of the stream have waited for it.
NcclExchange::~NcclExchange() { static_cast<void>(ncclCommDestroy(comm_)); }

void NcclExchange::all_gather(Stream& stream, const std::byte* part, std::size_t part_bytes,
                              std::byte* whole) {
  check(ncclAllGather(part, whole, part_bytes, ncclInt8, comm_,
                      dynamic_cast<CudaStream&>(stream).direct()),
        "ncclAllGather");
}

}  // namespace gridmill::cuda
