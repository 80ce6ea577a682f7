#include "cli/config_file.hpp"

#include <algorithm>
#include <cstddef>
#include <string_view>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill::cli {

namespace {

constexpr std::string_view kBlanks = " \t\r";

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return "";
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

bool is_quoted(std::string_view value) {
  return value.size() >= 2 && value.front() == value.back() &&
         (value.front() == '"' || value.front() == '\'');
}

bool has_comment(std::string_view value) {
  const std::size_t sign = value.find('#');
  for (std::size_t at = sign; at != std::string_view::npos; at = value.find('#', at + 1)) {
    if (at == 0 || kBlanks.find(value[at - 1]) != std::string_view::npos) return true;
  }
  return false;
}

/// Why a line is refused; "" = it is not.
std::string problem_of(std::string_view line, std::string_view name, std::string_view value,
                       const po::options_description& options) {
  if (line.front() == '[') return "sections are not known; one `name = value` a line";
  if (line.find('=') == std::string_view::npos) {
    return fmt::format("'{}' has no =, expected `name = value`", line);
  }
  if (name == "config" || name == "help" ||
      options.find_nothrow(std::string(name), false) == nullptr) {
    return fmt::format("there is no option '{}' here; gridmill CMD --help lists them", name);
  }
  if (value.empty()) return fmt::format("{} has no value; remove the line for the default", name);
  if (is_quoted(value)) {
    return fmt::format("{} is {}: quotes would be part of the value, leave them out", name, value);
  }
  if (has_comment(value)) {
    return fmt::format(
        "{} is '{}': a comment takes a line of its own, and a value with # behind a blank has to "
        "be "
        "given as a flag",
        name, value);
  }
  return "";
}

}  // namespace

po::parsed_options parse_config(const std::string& text, const std::string& path,
                                const po::options_description& options) {
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  po::parsed_options parsed(&options);
  std::string_view rest = text;
  if (rest.starts_with(kByteOrderMark)) rest.remove_prefix(kByteOrderMark.size());
  for (int number = 1; !rest.empty(); ++number) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = trimmed(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.empty() || line.front() == '#') continue;
    const std::size_t equals = std::min(line.find('='), line.size());
    const std::string_view name = trimmed(line.substr(0, equals));
    const std::string_view value = trimmed(line.substr(std::min(equals + 1, line.size())));
    const std::string problem = problem_of(line, name, value, options);
    if (!problem.empty()) {
      throw UsageError(fmt::format("{}, line {}: {}", path, number, problem));
    }
    po::option option(std::string(name), {std::string(value)});
    option.original_tokens = {std::string(value)};
    parsed.options.push_back(option);
  }
  return parsed;
}

}  // namespace gridmill::cli
