#pragma once

#include <span>
#include <string>
#include <string_view>

#include "cli/options.hpp"

namespace gridmill::cli {

/// How a help text is written.
enum class HelpFormat {
  text,   ///< for a terminal
  man,    ///< a manual page (man(7) macros)
  words,  ///< a line an entry, for completions: name, value's name, description, between tabs
};

/// @throws UsageError if `name` is not "text", "man" or "words".
[[nodiscard]] HelpFormat help_format(const std::string& name);

/// Format of --help-as=FORMAT among `arguments`; text without it.
[[nodiscard]] HelpFormat asked_help(const Arguments& arguments);

/// Page gridmill-NAME(1) or the list of words of one command with its `options`.
[[nodiscard]] std::string command_help(const CommandSyntax& syntax,
                                       const po::options_description& options, HelpFormat format);

struct CommandSummary {
  std::string_view name;
  std::string_view summary;
};

/// Page gridmill(1) or the list of words of the program with its `commands`.
[[nodiscard]] std::string program_help(std::span<const CommandSummary> commands, HelpFormat format);

}  // namespace gridmill::cli
