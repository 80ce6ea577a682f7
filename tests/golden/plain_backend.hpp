#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gridmill/kernels/backend.hpp"

namespace gridmill::test {

/// Backends that a binary runs the plain golden cases on, fp32; each binary is linked with one
/// list.
[[nodiscard]] std::vector<std::string> plain_backends();
[[nodiscard]] std::unique_ptr<Backend> make_plain_backend(const std::string& name);

}  // namespace gridmill::test
