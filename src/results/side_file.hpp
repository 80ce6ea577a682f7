#pragma once

#include <string>

#include "gridmill/base/file.hpp"

namespace gridmill::results_detail {

/// Opens a file that gridmill keeps beside a result file, for reading and writing, or creates it.
/// The user did not name it, so it must be what gridmill makes: nothing is written through a link,
/// into a file with other names, or into another user's file (but the owner's of `output`).
/// @param flags  O_APPEND or 0.
/// @throws OutputError
[[nodiscard]] FileDescriptor open_side_file(const std::string& path, const std::string& output,
                                            int flags);

/// The whole text of such a file; empty if there is none. @throws IoError
[[nodiscard]] std::string read_side_file(const std::string& path);

}  // namespace gridmill::results_detail
