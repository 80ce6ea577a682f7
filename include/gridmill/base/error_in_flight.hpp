#pragma once

#include "gridmill/base/error.hpp"

namespace gridmill {

/// The error that the exception in flight stands for; call it inside a catch block. Out of memory
/// is a ResourceError, and so is a system without room for another thread or file; other errors of
/// the system are SystemErrors, anything else that is no Error of ours an InternalError.
[[nodiscard]] Error error_in_flight();

}  // namespace gridmill
