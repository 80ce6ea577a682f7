#pragma once

#include <memory>

#include "gridmill/kernels/backend.hpp"

// The door to the cuda backend: src/kernels/cuda or, in a build without it, src/kernels/cuda_stub.
namespace gridmill {

/// @throws ResourceError if this build has no cuda backend or this machine no device for it.
[[nodiscard]] std::unique_ptr<Backend> make_cuda_backend(const BackendOptions& options);

/// The backend is built in and a device is there.
[[nodiscard]] bool has_cuda_device();

}  // namespace gridmill
