#include "cli/manual.hpp"

#include <algorithm>
#include <cctype>
#include <memory>
#include <sstream>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/build_info/version.hpp"

namespace gridmill::cli {

namespace {

/// `text` as running text of a manual page: nothing in it is a request or an escape.
std::string roff(std::string_view text) {
  std::string safe;
  bool line_begins = true;
  for (const char c : text) {
    if (line_begins && (c == '.' || c == '\'')) safe += "\\&";
    line_begins = c == '\n';
    switch (c) {
      case '\\':
        safe += "\\e";
        break;
      case '-':
        safe += "\\-";
        break;
      case '`':
        safe += "\\`";
        break;
      case '^':
        safe += "\\(ha";
        break;
      case '~':
        safe += "\\(ti";
        break;
      default:
        safe += c;
    }
  }
  return safe;
}

std::string page_head(const std::string& name, std::string_view summary) {
  std::string title = name;
  std::transform(title.begin(), title.end(), title.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return fmt::format(".TH {} 1 \"\" \"gridmill {}\" \"gridmill\"\n.SH NAME\n{} \\- {}\n",
                     roff(title), version(), roff(name), roff(summary));
}

std::string page_end(std::string_view more) {
  return fmt::format(
      ".SH EXIT STATUS\n0 if everything asked for was done, 75 if the same command goes on; the "
      "others follow sysexits.h.\n.SH SEE ALSO\n{}The folder of gridmill's documents, cli.md "
      "first.\n",
      more);
}

/// "--name" and "-n" of an option, and the name of its value ("" for none).
struct Names {
  std::string flags;
  std::string value;
};

Names names_of(const po::option_description& option) {
  const std::string long_name = option.long_name();
  // "-o [ --output ]": the short name stands first.
  const std::string format = option.format_name();
  Names names{.flags = "--" + long_name, .value = ""};
  if (format.size() > 2 && format[0] == '-' && format[1] != '-') {
    names.flags = format.substr(0, 2) + ", " + names.flags;
  }
  if (option.semantic()->max_tokens() > 0) names.value = option.format_parameter();
  return names;
}

std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

}  // namespace

HelpFormat help_format(const std::string& name) {
  require_one_of("--help-as", name, {"text", "man", "words"});
  if (name == "man") return HelpFormat::man;
  return name == "words" ? HelpFormat::words : HelpFormat::text;
}

HelpFormat asked_help(const Arguments& arguments) {
  const std::string prefix = "--help-as=";
  for (const std::string& argument : arguments) {
    if (argument.starts_with(prefix)) return help_format(argument.substr(prefix.size()));
  }
  return HelpFormat::text;
}

std::string command_help(const CommandSyntax& syntax, const po::options_description& options,
                         HelpFormat format) {
  std::string text;
  if (format == HelpFormat::text) {
    std::ostringstream plain;
    plain << syntax.example << "\n\n" << syntax.summary << "\n\n" << options;
    return plain.str();
  }
  if (format == HelpFormat::words) {
    for (const auto& option : options.options()) {
      text += fmt::format("--{}\t{}\t{}\n", option->long_name(), names_of(*option).value,
                          one_line(option->description()));
    }
    return text;
  }
  const std::string first = syntax.summary.substr(0, syntax.summary.find_first_of(".\n"));
  text = page_head("gridmill-" + syntax.name, first);
  text += fmt::format(".SH SYNOPSIS\n.B gridmill {}\n[options]\n.PP\n{}\n", roff(syntax.name),
                      roff(syntax.example));
  text += fmt::format(".SH DESCRIPTION\n{}\n.SH OPTIONS\n", roff(syntax.summary));
  for (const auto& option : options.options()) {
    const Names names = names_of(*option);
    text +=
        fmt::format(".TP\n\\fB{}\\fR{}{}\n{}\n", roff(names.flags), names.value.empty() ? "" : " ",
                    roff(names.value), roff(option->description()));
  }
  return text + page_end(".BR gridmill (1).\n");
}

std::string program_help(std::span<const CommandSummary> commands, HelpFormat format) {
  std::string text;
  if (format == HelpFormat::words) {
    for (const CommandSummary& command : commands) {
      text += fmt::format("{}\t\t{}\n", command.name, command.summary);
    }
    return text;
  }
  const std::string_view example =
      "Example: mpirun -n 4 gridmill generate --config jobs/stories.cfg --dp 2 --fsdp 2";
  if (format == HelpFormat::text) {
    text = fmt::format(
        "{}\n\ngridmill COMMAND [options]; gridmill COMMAND --help lists a command's options\n\n",
        example);
    for (const CommandSummary& command : commands) {
      text += fmt::format("  {:<11} {}\n", command.name, command.summary);
    }
    return text +
           "\n  --help      print this\n  --version   versions of gridmill and what it is built "
           "on\n";
  }
  text = page_head("gridmill", "batch text generator for clusters");
  text += fmt::format(
      ".SH SYNOPSIS\n.B gridmill\nCOMMAND [options]\n.PP\n{}\n.SH DESCRIPTION\nA file of prompts "
      "becomes a file of completions, on as many nodes as there are. The same bits come out on "
      "any grid of ranks, and nothing finished is lost.\n.SH COMMANDS\n",
      roff(example));
  std::string pages;
  for (const CommandSummary& command : commands) {
    text += fmt::format(".TP\n\\fB{}\\fR\n{}\n", roff(command.name), roff(command.summary));
    pages += fmt::format(".BR gridmill\\-{} (1),\n", roff(command.name));
  }
  text +=
      ".SH OPTIONS\n.TP\n\\fB\\-\\-help\\fR\nprint a summary\n.TP\n\\fB\\-\\-version\\fR\nversions "
      "of gridmill and what it is built on\n";
  return text + page_end(pages);
}

}  // namespace gridmill::cli
