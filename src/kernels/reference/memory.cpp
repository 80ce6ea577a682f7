#include <sys/mman.h>

#include <cstring>

#include "gridmill/base/check.hpp"
#include "gridmill/base/format.hpp"
#include "kernels/recurrent_state.hpp"
#include "kernels/reference/kv_cache.hpp"
#include "kernels/reference/mlstm_state.hpp"
#include "kernels/reference/reference_backend.hpp"

namespace gridmill::reference {

namespace {

/// Every call has finished when it returns: nothing to wait for.
class FinishedStream final : public Stream {
 public:
  void synchronize() override {}
};

}  // namespace

std::unique_ptr<Stream> ReferenceBackend::make_stream() {
  return std::make_unique<FinishedStream>();
}

Buffer ReferenceBackend::allocate(std::size_t size_bytes) {
  // Fresh pages are zero and take no memory until they are touched.
  const std::size_t mapped = size_bytes == 0 ? 1 : size_bytes;
  void* memory = mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    throw ResourceError(
        fmt::format("cannot allocate {} MiB; use fewer slots, a shorter max length or more memory",
                    size_bytes >> 20));
  }
  return {static_cast<std::byte*>(memory), size_bytes,
          [mapped](std::byte* data) { munmap(data, mapped); }};
}

void ReferenceBackend::upload(Stream& /*stream*/, std::span<const std::byte> host,
                              std::byte* device) {
  if (!host.empty()) std::memcpy(device, host.data(), host.size());
}

void ReferenceBackend::download(Stream& /*stream*/, const std::byte* device,
                                std::span<std::byte> host) {
  if (!host.empty()) std::memcpy(host.data(), device, host.size());
}

std::unique_ptr<KvCache> ReferenceBackend::make_kv_cache(const KvCacheShape& shape) {
  const std::size_t values = ReferenceKvCache::values(shape);
  return std::make_unique<ReferenceKvCache>(shape, dtype_, allocate(values * size_of(dtype_)));
}

std::unique_ptr<MlstmState> ReferenceBackend::make_mlstm_state(const MlstmStateShape& shape) {
  const std::size_t values = ReferenceMlstmState::values(shape);
  return std::make_unique<ReferenceMlstmState>(shape, allocate(values * sizeof(float)));
}

std::unique_ptr<RecurrentState> ReferenceBackend::make_recurrent_state(
    const RecurrentStateShape& shape) {
  using kernels_detail::HostRecurrentState;
  const std::size_t values = HostRecurrentState::values(shape);
  return std::make_unique<HostRecurrentState>(shape, allocate(values * sizeof(float)));
}

}  // namespace gridmill::reference
