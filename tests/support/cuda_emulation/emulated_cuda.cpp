#include "support/cuda_emulation/emulated_cuda.hpp"

#include "kernels/cuda/cuda_backend.hpp"

namespace gridmill::testing {

std::unique_ptr<Backend> make_emulated_cuda(DType compute_dtype) {
  return std::make_unique<cuda::CudaBackend>(compute_dtype);
}

}  // namespace gridmill::testing
