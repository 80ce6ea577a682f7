#pragma once

#include <boost/program_options.hpp>
#include <optional>
#include <string>
#include <vector>

namespace gridmill::cli {

namespace po = boost::program_options;

using Arguments = std::vector<std::string>;

/// What a sub-command accepts, and how its help begins.
struct CommandSyntax {
  std::string name;     ///< e.g. "generate"
  std::string example;  ///< first lines of the help
  std::string summary;
  po::options_description options{};
  po::options_description arguments{};  ///< what `positional` names; not listed by the help
  po::positional_options_description positional{};
  bool config_file = false;  ///< takes --config FILE
};

/// Parses flags, then environment (GRIDMILL_MAX_LENGTH for --max-length), then the config file: the
/// first to name an option wins.
/// @return nothing if --help was asked for (and printed to stdout).
/// @throws UsageError for unknown options, missing or malformed values.
[[nodiscard]] std::optional<po::variables_map> parse(const CommandSyntax& syntax,
                                                     const Arguments& arguments);

/// A switch: bare, or =true / =false.
[[nodiscard]] po::typed_value<bool>* switch_value(bool* target);

/// @throws UsageError unless `text` is an integer from 1 to 2^31 - 1.
[[nodiscard]] int positive_integer(const std::string& option, const std::string& text);

/// @throws UsageError unless `value` is one of `allowed`.
void require_one_of(const std::string& option, const std::string& value,
                    const std::vector<std::string>& allowed);

}  // namespace gridmill::cli
