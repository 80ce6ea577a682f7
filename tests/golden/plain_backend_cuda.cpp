#include "golden/plain_backend.hpp"
#include "support/cuda_under_test.hpp"

namespace gridmill::test {

std::vector<std::string> plain_backends() { return {testing::cuda_label()}; }

std::unique_ptr<Backend> make_plain_backend(const std::string& /*name*/) {
  return testing::make_cuda(DType::fp32);
}

}  // namespace gridmill::test
