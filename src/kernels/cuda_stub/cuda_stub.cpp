#include "gridmill/base/error.hpp"
#include "kernels/cuda_entry.hpp"

namespace gridmill {

std::unique_ptr<Backend> make_cuda_backend(const BackendOptions& /*options*/) {
  throw ResourceError(
      "backend cuda is unsupported: this gridmill was built without CUDA; use backend cpu, or "
      "build with -DGRIDMILL_CUDA=ON");
}

bool has_cuda_device() { return false; }

AcceleratorVersions accelerator_versions() { return {}; }

}  // namespace gridmill
