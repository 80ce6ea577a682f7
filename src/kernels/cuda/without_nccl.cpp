// In place of nccl_exchange.cpp where NCCL is missing: exchanges go through the host.
#include "gridmill/base/error.hpp"
#include "kernels/cuda/nccl_exchange.hpp"

namespace gridmill::cuda {

bool has_collectives() { return false; }

std::string collectives_version() { return {}; }

NcclExchange::NcclExchange(Exchange& group) : group_(group) {
  throw InternalError("NCCL is asked for in a build without it");
}

NcclExchange::~NcclExchange() = default;

void NcclExchange::all_gather(Stream& /*stream*/, const std::byte* /*part*/,
                              std::size_t /*part_bytes*/, std::byte* /*whole*/) {}

}  // namespace gridmill::cuda
