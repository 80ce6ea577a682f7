#pragma once

#include <string>

#include "gridmill/kernels/backend.hpp"

namespace gridmill::job_detail {

/// Seconds that `threads` threads need to copy the file from the page cache into fresh memory of
/// the backend: what loading a model costs at least. Reads the file once before, so that it is in
/// the cache. @throws MissingInputError, IoError, ResourceError
[[nodiscard]] double first_touch_copy_seconds(const std::string& path, Backend& backend,
                                              int threads);

}  // namespace gridmill::job_detail
