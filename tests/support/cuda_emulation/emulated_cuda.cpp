#include "kernels/cuda/cuda_backend.hpp"
#include "support/cuda_under_test.hpp"

namespace gridmill::testing {

std::unique_ptr<Backend> make_cuda(DType compute_dtype) {
  return std::make_unique<cuda::CudaBackend>(compute_dtype);
}

std::string cuda_label() { return "emulated_cuda"; }

}  // namespace gridmill::testing
