#include <cuda_runtime.h>
#ifdef GRIDMILL_HAVE_NCCL
#include <nccl.h>
#endif

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/runtime.hpp"
#include "kernels/cuda_entry.hpp"

namespace gridmill {

namespace {

/// 13000 is 13.0.
std::string dotted(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

std::string nccl_version() {
#ifdef GRIDMILL_HAVE_NCCL
  int version = 0;
  if (ncclGetVersion(&version) != ncclSuccess) return "unknown";
  return fmt::format("{}.{}.{}", version / 10000, version % 10000 / 100, version % 100);
#else
  return {};
#endif
}

}  // namespace

std::unique_ptr<Backend> make_cuda_backend(const BackendOptions& options) {
  if (options.kernel_target != "auto") {
    throw UsageError(fmt::format(
        "kernel target \"{}\" belongs to the cpu backend; the cuda backend takes \"auto\" only",
        options.kernel_target));
  }
  return std::make_unique<cuda::CudaBackend>(options.compute_dtype, options.node_rank,
                                             options.share_device);
}

bool has_cuda_device() { return cuda::has_device(); }

AcceleratorVersions accelerator_versions() {
  int driver = 0;
  const bool has_driver = cudaDriverGetVersion(&driver) == cudaSuccess && driver != 0;
  return {.cuda = fmt::format("{} (driver: {})", dotted(CUDART_VERSION),
                              has_driver ? dotted(driver) : "none"),
          .nccl = nccl_version()};
}

}  // namespace gridmill
