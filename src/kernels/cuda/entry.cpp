#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/nccl_exchange.hpp"
#include "kernels/cuda/runtime.hpp"
#include "kernels/cuda_entry.hpp"

namespace gridmill {

std::unique_ptr<Backend> make_cuda_backend(const BackendOptions& options) {
  if (options.kernel_target != "auto") {
    throw UsageError(fmt::format(
        R"(kernel target "{}" belongs to the cpu backend; the cuda backend takes "auto" only)",
        options.kernel_target));
  }
  return std::make_unique<cuda::CudaBackend>(options.compute_dtype, options.node_rank,
                                             options.share_device);
}

bool has_cuda_device() { return cuda::has_device(); }

AcceleratorVersions accelerator_versions() {
  return {.cuda = cuda::runtime_version(), .nccl = cuda::collectives_version()};
}

}  // namespace gridmill
