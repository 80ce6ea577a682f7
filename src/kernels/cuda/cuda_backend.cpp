#include "kernels/cuda/cuda_backend.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "kernels/cuda/cuda_stream.hpp"
#include "kernels/cuda/kv_cache.hpp"
#include "kernels/cuda/mlstm_state.hpp"
#include "kernels/cuda/nccl_exchange.hpp"
#include "kernels/cuda/product.hpp"

namespace gridmill::cuda {

namespace {

CudaStream& cuda_stream(Stream& stream) { return dynamic_cast<CudaStream&>(stream); }

}  // namespace

CudaBackend::CudaBackend(DType compute_dtype, int node_rank, bool share_device)
    : dtype_(compute_dtype) {
  open_device(node_rank, share_device);
  target_ = device_name();
}

std::unique_ptr<Stream> CudaBackend::make_stream() { return std::make_unique<CudaStream>(); }

void CudaBackend::order(Stream& after, Stream& before) {
  cuda_stream(after).follow(cuda_stream(before));
}

std::unique_ptr<Exchange> CudaBackend::make_device_exchange(Exchange& group) {
  // Every rank has the same build, so that all of them come here or none.
  if (!has_collectives() || group.size() == 1) return nullptr;
  const std::array<std::byte, 16> own = device_identity();
  std::vector<std::array<std::byte, 16>> all(static_cast<std::size_t>(group.size()));
  group.all_gather_host(own.data(), own.size(), all.data());
  std::sort(all.begin(), all.end());
  const bool shared = std::adjacent_find(all.begin(), all.end()) != all.end();
  if (shared) return nullptr;  // NCCL refuses two ranks on one device
  return std::make_unique<NcclExchange>(group);
}

Buffer CudaBackend::allocate(std::size_t size_bytes) {
  // The allocator promises 256 bytes only.
  constexpr std::size_t kAlignment = 4096;
  std::byte* memory = device_allocate(size_bytes + kAlignment);
  const auto address = reinterpret_cast<std::uintptr_t>(memory);
  std::byte* aligned = memory + (kAlignment - address % kAlignment) % kAlignment;
  Buffer buffer(aligned, size_bytes, [memory](std::byte* /*data*/) {
    device_free(memory);  // waits for the device
  });
  CudaStream stream;
  fill_zero(stream.direct(), aligned, size_bytes);
  stream.synchronize();
  return buffer;
}

Buffer CudaBackend::allocate_staging(std::size_t size_bytes) {
  return {pinned_allocate(std::max<std::size_t>(1, size_bytes)), size_bytes,
          [](std::byte* memory) { pinned_free(memory); }};
}

void CudaBackend::upload(Stream& stream, std::span<const std::byte> host, std::byte* device) {
  copy_to_device(cuda_stream(stream).direct(), host, device);
}

void CudaBackend::download(Stream& stream, const std::byte* device, std::span<std::byte> host) {
  cuda_stream(stream).download(device, host);
}

StateBudget CudaBackend::state_budget(int node_ranks, std::uint64_t workspace_bytes) const {
  // For memory that the runtime takes meanwhile (kernel code, small arrays). The device also never
  // gives out its memory to the last page.
  constexpr std::uint64_t kReserve = std::uint64_t{256} << 20;
  const int devices = device_count();
  const auto sharers = static_cast<std::uint64_t>((node_ranks + devices - 1) / devices);
  const std::uint64_t share = device_memory().free_bytes / sharers;
  const Multiprocessors all = multiprocessors();
  const std::uint64_t local =
      static_cast<std::uint64_t>(all.count) * all.threads * kTiledLocalBytes;
  const std::uint64_t kept = workspace_bytes + kReserve + local;
  return {.known = true,
          .bytes = share > kept ? share - kept : 0,
          .most_slots = static_cast<int>(kLogitRows),
          .pass_rows = 2048,
          .pooled = true};
}

std::unique_ptr<KvCache> CudaBackend::make_kv_cache(const KvCacheShape& shape) {
  if (shape.head_dim > kMostHeadDim) {
    throw ResourceError(
        fmt::format("the cuda backend takes heads of at most {}, not {}; use "
                    "backend cpu",
                    kMostHeadDim, shape.head_dim));
  }
  const std::size_t entries = static_cast<std::size_t>(shape.slots) *
                              static_cast<std::size_t>(CudaKvCache::slot_pages(shape));
  return std::make_unique<CudaKvCache>(shape, dtype_,
                                       allocate(CudaKvCache::memory_bytes(shape, dtype_)),
                                       allocate(entries * sizeof(std::int32_t)));
}

std::unique_ptr<MlstmState> CudaBackend::make_mlstm_state(const MlstmStateShape& shape) {
  if (shape.qk_dim > kMostQkDim) {
    throw ResourceError(
        fmt::format("the cuda backend takes queries of at most {} a head, not {}; "
                    "use backend cpu",
                    kMostQkDim, shape.qk_dim));
  }
  return std::make_unique<CudaMlstmState>(shape, allocate(CudaMlstmState::memory_bytes(shape)));
}

}  // namespace gridmill::cuda
