#pragma once

#include <hdf5.h>

#include <string>
#include <type_traits>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/h5/handle.hpp"

namespace gridmill::h5::detail {

static_assert(std::is_same_v<hid_t, std::int64_t>, "HDF5 1.10 or newer is needed");

/// Switches HDF5's own error printing off, once.
void quiet_library();

/// The innermost reason of the last failed call, e.g. "truncated file: eof = 96, ...".
std::string innermost_reason();

/// Whether the last failed call failed since there was no memory for it.
bool ran_out_of_memory();

/// Returns `result` of an HDF5 call, or throws E: "<where>: <action> failed: <reason>"; without
/// memory for it ResourceError.
template <typename E = FormatError, typename R>
R check(R result, const std::string& action, const std::string& where) {
  if (result < 0) {
    if (ran_out_of_memory()) {
      throw ResourceError(fmt::format("{}: {} failed: no memory for it", where, action));
    }
    throw E(fmt::format("{}: {} failed: {}", where, action, innermost_reason()));
  }
  return result;
}

template <typename E = FormatError>
Handle own(hid_t id, Handle::Close close, const std::string& action, const std::string& where) {
  return {check<E>(id, action, where), close};
}

}  // namespace gridmill::h5::detail
