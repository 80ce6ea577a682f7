#include <stdexcept>

#include "gridmill/base/error.hpp"
#include "support/cuda_under_test.hpp"

namespace gridmill::testing {

std::unique_ptr<Backend> make_cuda(DType compute_dtype) {
  try {
    return make_backend("cuda", {.compute_dtype = compute_dtype});
  } catch (const ResourceError& error) {
    // Suites skip what a machine lacks; here the device is what is tested.
    throw std::runtime_error(error.what());
  }
}

std::string cuda_label() { return "cuda"; }

}  // namespace gridmill::testing
