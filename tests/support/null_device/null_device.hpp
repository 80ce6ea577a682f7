#pragma once

#include <memory>

#include "gridmill/kernels/backend.hpp"

namespace gridmill::testing {

/// The reference backend behind the manners of a real device, to prove that its users assume
/// nothing but Stream and Buffer: work waits in a queue until a stream is synchronised (or the
/// queue is long), then runs on the stream's own thread; host spans are copied at the call, but for
/// those in staging memory; addresses fault when the host follows them; host_memory() is false.
/// Same bits as the reference.
[[nodiscard]] std::unique_ptr<Backend> make_null_device(DType compute_dtype);

}  // namespace gridmill::testing
