#include "kernels/cpu/cpu_backend.hpp"

#include <algorithm>
#include <cstring>

#include "gridmill/base/log.hpp"
#include "kernels/cpu/cpu_backend_detail.hpp"
#include "kernels/cpu/dispatch.hpp"
#include "kernels/cpu/kv_cache.hpp"
#include "kernels/cpu/memory.hpp"
#include "kernels/cpu/mlstm_state.hpp"
#include "kernels/recurrent_state.hpp"

namespace gridmill::cpu {

namespace {

/// Every call has finished when it returns: nothing to wait for.
class FinishedStream final : public Stream {
 public:
  void synchronize() override {}
};

}  // namespace

std::unique_ptr<Stream> CpuBackend::make_stream() { return std::make_unique<FinishedStream>(); }

Buffer CpuBackend::allocate(std::size_t size_bytes) { return allocate_zeroed(size_bytes); }

void CpuBackend::upload(Stream& /*stream*/, std::span<const std::byte> host, std::byte* device) {
  if (!host.empty()) std::memcpy(device, host.data(), host.size());
}

void CpuBackend::download(Stream& /*stream*/, const std::byte* device, std::span<std::byte> host) {
  if (!host.empty()) std::memcpy(host.data(), device, host.size());
}

StateBudget CpuBackend::host_state_budget(std::optional<std::uint64_t> share) const {
  StateBudget budget = Backend::host_state_budget(share);
  budget.pooled = true;
  budget.on_demand = true;
  return budget;
}

std::unique_ptr<KvCache> CpuBackend::make_kv_cache(const KvCacheShape& shape) {
  return std::make_unique<PagedKvCache>(shape, dtype_);
}

std::unique_ptr<MlstmState> CpuBackend::make_mlstm_state(const MlstmStateShape& shape) {
  return std::make_unique<StripMlstmState>(shape);
}

std::unique_ptr<RecurrentState> CpuBackend::make_recurrent_state(const RecurrentStateShape& shape) {
  using kernels_detail::HostRecurrentState;
  const std::size_t values = HostRecurrentState::values(shape);
  return std::make_unique<HostRecurrentState>(shape, allocate(values * sizeof(float)));
}

int CpuBackend::begin(std::int64_t units, std::size_t scratch_bytes) {
  const auto parts = static_cast<int>(std::clamp<std::int64_t>(units, 1, pool_.size()));
  for (int part = 0; part < parts; ++part) {
    Buffer& scratch = scratch_[static_cast<std::size_t>(part)];
    if (scratch.size_bytes() < scratch_bytes) scratch = allocate_zeroed(scratch_bytes);
  }
  return parts;
}

}  // namespace gridmill::cpu

namespace gridmill {

std::unique_ptr<Backend> make_cpu_backend(const BackendOptions& options) {
  const cpu::KernelChoice choice =
      cpu::choose_kernels(options.kernel_target, options.compute_dtype);
  log::debug("cpu backend: target {}, {} threads, compute dtype {}", choice.why, options.threads,
             name_of(options.compute_dtype));
  return std::make_unique<cpu::CpuBackend>(choice, options.compute_dtype, options.int8_products,
                                           options.threads);
}

}  // namespace gridmill
