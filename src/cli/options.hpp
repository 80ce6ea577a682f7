#pragma once

#include <boost/program_options.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace gridmill::cli {

namespace po = boost::program_options;

using Arguments = std::vector<std::string>;

/// Arguments of a sub-command, and the beginning of its help.
struct CommandSyntax {
  std::string name;     ///< e.g. "generate"
  std::string example;  ///< first lines of the help
  std::string summary;
  po::options_description options{};
  po::options_description arguments{};  ///< what `positional` names; not listed by the help
  po::positional_options_description positional{};
  bool config_file = false;            ///< takes --config FILE
  std::string* config_path = nullptr;  ///< gets that FILE, if one is given
};

/// Values of the given options, as text.
using GivenOptions = std::map<std::string, std::string>;

/// Parses flags, then environment (GRIDMILL_MAX_LENGTH for --max-length), then the config file: the
/// first to name an option wins.
/// @return nothing if --help or --help-as was asked for (see print_help).
/// @throws UsageError for unknown options, missing or malformed values.
[[nodiscard]] std::optional<GivenOptions> parse_quietly(const CommandSyntax& syntax,
                                                        const Arguments& arguments);
/// Prints the help of `arguments`: --help, or --help-as=man|words (for packages; not listed).
void print_help(const CommandSyntax& syntax, const Arguments& arguments);

/// parse_quietly() for commands of one process: prints the help.
/// @return whether the command is to be run.
[[nodiscard]] bool parse(const CommandSyntax& syntax, const Arguments& arguments);

/// Collective over the whole job: every rank parses, then runs `check`. The ranks must have been
/// given the same, but for what never changes a row (threads, kernel target, log level, GPUs) and
/// the place of the model, whose hash is compared when it is opened.
/// @return whether the command is to be run; if not, rank 0 has printed the help.
/// @throws UsageError on every rank: that of parsing or `check`, or if ranks differ.
[[nodiscard]] bool parse_on_every_rank(const CommandSyntax& syntax, const Arguments& arguments,
                                       const std::function<void()>& check);

/// A switch: bare, or =true / =false.
[[nodiscard]] po::typed_value<bool>* switch_value(bool* target);

/// @throws UsageError unless `text` is an integer from 1 to 2^31 - 1.
[[nodiscard]] int positive_integer(const std::string& option, const std::string& text);
/// A number of bytes; a letter K, M, G or T behind it multiplies by a power of 1024.
/// @throws UsageError
[[nodiscard]] std::uint64_t byte_count(const std::string& option, const std::string& text);

/// @throws UsageError unless `value` is one of `allowed`.
void require_one_of(const std::string& option, const std::string& value,
                    const std::vector<std::string>& allowed);

}  // namespace gridmill::cli
