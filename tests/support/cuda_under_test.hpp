#pragma once

#include <memory>
#include <string>

#include "gridmill/kernels/backend.hpp"

namespace gridmill::testing {

/// The cuda backend that a binary tests: linked with tests/support/cuda_emulation, its own kernels
/// and host code on an emulation of the device (which proves indexing, the order of sums and the
/// lifetime of memory; neither speed nor the rounding of tensor cores; one thread of the host
/// drives it); linked with tests/gpu, a device, and a failure without one.
[[nodiscard]] std::unique_ptr<Backend> make_cuda(DType compute_dtype);

/// For the names of tests: emulated_cuda or cuda.
[[nodiscard]] std::string cuda_label();

}  // namespace gridmill::testing
