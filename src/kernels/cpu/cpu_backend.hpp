#pragma once

#include <memory>

#include "gridmill/kernels/backend.hpp"

namespace gridmill {

/// The fast backend for x86 CPUs with AVX2 and fma; equal to the reference bit for bit.
/// @throws UsageError for an unknown kernel target, ResourceError if this CPU cannot run it.
[[nodiscard]] std::unique_ptr<Backend> make_cpu_backend(const BackendOptions& options);

}  // namespace gridmill
