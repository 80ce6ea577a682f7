#pragma once

#include <string>

#include "cli/options.hpp"

namespace gridmill::cli {

/// Options of a config file (docs/cli.md): one `name = value` a line, blanks around both are
/// dropped, and the value is taken as it stands. A line that begins with # is a comment.
/// @param path  names the file in messages.
/// @throws UsageError, naming the line, for what would be read in another way than it looks: a
/// value in quotes, a # behind a blank inside a value, an empty value, a section, a line without =,
/// and for names that are no options.
[[nodiscard]] po::parsed_options parse_config(const std::string& text, const std::string& path,
                                              const po::options_description& options);

}  // namespace gridmill::cli
