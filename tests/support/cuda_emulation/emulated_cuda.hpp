#pragma once

#include <memory>

#include "gridmill/kernels/backend.hpp"

namespace gridmill::testing {

/// The cuda backend with its own kernels and host code, on an emulation of the device. Proves
/// indexing, the order of sums and the lifetime of memory; neither speed nor the rounding of tensor
/// cores. One thread of the host drives it.
[[nodiscard]] std::unique_ptr<Backend> make_emulated_cuda(DType compute_dtype);

}  // namespace gridmill::testing
