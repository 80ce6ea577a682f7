#pragma once

#include <cstddef>

#include "gridmill/base/device.hpp"

namespace gridmill::cpu {

/// Zeroed, 4096-byte aligned, in huge pages where the system has them; takes no memory until it is
/// touched. @throws ResourceError
[[nodiscard]] Buffer allocate_zeroed(std::size_t size_bytes);

}  // namespace gridmill::cpu
