#include "golden/plain_backend.hpp"

namespace gridmill::test {

std::vector<std::string> plain_backends() { return {"reference", "cpu"}; }

std::unique_ptr<Backend> make_plain_backend(const std::string& name) {
  return make_backend(name, {.compute_dtype = DType::fp32});
}

}  // namespace gridmill::test
