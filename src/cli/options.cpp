#include "cli/options.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdio>
#include <limits>
#include <string_view>

#include "cli/config_file.hpp"
#include "cli/manual.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill::cli {

namespace {

/// "GRIDMILL_MAX_LENGTH" to "max-length" if `options` has it, else "".
std::string option_of_variable(const std::string& variable,
                               const po::options_description& options) {
  const std::string prefix = "GRIDMILL_";
  if (variable.rfind(prefix, 0) != 0) return "";
  std::string name = variable.substr(prefix.size());
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) {
    return c == '_' ? '-' : static_cast<char>(std::tolower(c));
  });
  return options.find_nothrow(name, false) != nullptr ? name : "";
}

/// Listed options, without positional arguments.
po::options_description listed_options(const CommandSyntax& syntax) {
  po::options_description all(fmt::format("Options of gridmill {}", syntax.name));
  all.add(syntax.options);
  all.add_options()("help", "print this");
  if (syntax.config_file) {
    all.add_options()("config", po::value<std::string>()->value_name("FILE"),
                      "options as `name = value` lines; flags and environment beat it");
  }
  return all;
}

/// Stores what one source gives, for options that no earlier source has given.
void store_source(const po::parsed_options& source, po::variables_map& values,
                  GivenOptions& given) {
  po::store(source, values);
  GivenOptions found;
  for (const po::option& option : source.options) {
    std::string& text = found[option.string_key];
    text += fmt::format("{}{}", text.empty() ? "" : " ", fmt::join(option.value, " "));
  }
  given.merge(found);
}

}  // namespace

void print_help(const CommandSyntax& syntax, const Arguments& arguments) {
  std::fputs(command_help(syntax, listed_options(syntax), asked_help(arguments)).c_str(), stdout);
}

std::optional<GivenOptions> parse_quietly(const CommandSyntax& syntax, const Arguments& arguments) {
  const po::options_description all = listed_options(syntax);
  po::options_description accepted;
  accepted.add(all).add(syntax.arguments);
  accepted.add_options()("help-as", po::value<std::string>());
  po::variables_map values;
  GivenOptions given;
  try {
    // No guessing: an abbreviation that works today may be ambiguous tomorrow.
    const int style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
    store_source(po::command_line_parser(arguments)
                     .options(accepted)
                     .positional(syntax.positional)
                     .style(style)
                     .run(),
                 values, given);
    if (values.count("help") + values.count("help-as") != 0) return std::nullopt;
    store_source(
        po::parse_environment(
            all, [&all](const std::string& variable) { return option_of_variable(variable, all); }),
        values, given);
    if (syntax.config_file && values.count("config") != 0) {
      const auto path = values["config"].as<std::string>();
      if (syntax.config_path != nullptr) *syntax.config_path = path;
      try {
        store_source(parse_config(read_text_file(path), path, all), values, given);
      } catch (const po::error& error) {
        throw UsageError(fmt::format("{}: {}", path, error.what()));
      }
    }
    po::notify(values);
  } catch (const po::error& error) {
    throw UsageError(fmt::format("{}; see gridmill {} --help", error.what(), syntax.name));
  }
  return given;
}

bool parse(const CommandSyntax& syntax, const Arguments& arguments) {
  if (parse_quietly(syntax, arguments)) return true;
  print_help(syntax, arguments);
  return false;
}

po::typed_value<bool>* switch_value(bool* target) {
  return po::value<bool>(target)
      ->default_value(*target, *target ? "true" : "false")
      ->implicit_value(true, "true");
}

int positive_integer(const std::string& option, const std::string& text) {
  int value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || end != text.data() + text.size() || value < 1) {
    throw UsageError(fmt::format("{} is '{}', expected a positive integer", option, text));
  }
  return value;
}

std::uint64_t byte_count(const std::string& option, const std::string& text) {
  constexpr std::string_view kUnits = "KMGT";
  std::uint64_t value = 0;
  const char* const last = text.data() + text.size();
  auto [end, problem] = std::from_chars(text.data(), last, value);
  int shift = 0;
  if (problem == std::errc() && end != last) {
    const std::size_t unit = kUnits.find(*end++);
    shift = unit == std::string_view::npos ? -1 : 10 * (static_cast<int>(unit) + 1);
  }
  if (problem != std::errc() || end != last || shift < 0 ||
      value > (std::numeric_limits<std::uint64_t>::max() >> shift)) {
    throw UsageError(fmt::format(
        "{} is '{}', expected a number of bytes, or of K, M, G or T (1024 K = 1 M)", option, text));
  }
  return value << shift;
}

void require_one_of(const std::string& option, const std::string& value,
                    const std::vector<std::string>& allowed) {
  if (std::find(allowed.begin(), allowed.end(), value) != allowed.end()) return;
  throw UsageError(fmt::format("{} is '{}', expected {}", option, value, fmt::join(allowed, ", ")));
}

}  // namespace gridmill::cli
