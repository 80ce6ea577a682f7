#pragma once

#include <cstdint>
#include <string>

namespace gridmill {

/// Name of this host.
[[nodiscard]] std::string host_name();
/// Cores that this process may run on; at least 1.
[[nodiscard]] int usable_cores();
/// Resident memory of this process now, in bytes.
[[nodiscard]] std::uint64_t resident_bytes();
/// High-water mark of this process's resident memory, in bytes.
[[nodiscard]] std::uint64_t peak_resident_bytes();

}  // namespace gridmill
