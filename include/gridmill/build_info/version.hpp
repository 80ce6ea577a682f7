#pragma once

#include <string>

namespace gridmill {

/// "0.1.0"
[[nodiscard]] std::string version();
/// Short hash of the commit this was built from, with "-dirty" if files differed; "unknown" outside
/// a checkout.
[[nodiscard]] std::string git_hash();

}  // namespace gridmill
