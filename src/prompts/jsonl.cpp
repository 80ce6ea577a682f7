#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/json.hpp"
#include "sources_detail.hpp"

namespace gridmill::detail {

namespace {

/// The object on a line, or nothing. The parser's own words stay out: they may differ between
/// versions of the library, and reasons are part of the result file.
std::optional<Json> parse_object(const std::string& line) {
  try {
    Json value = parse_json(line, "line");
    if (value.is_object()) return value;
  } catch (const FormatError&) {
    return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

JsonLines::JsonLines(const std::string& path, PromptIndex index, std::string field)
    : TextLines(path, std::move(index)), field_(std::move(field)) {}

Prompt JsonLines::read_checked(PromptId prompt) const {
  const std::uint64_t number = std::uint64_t{prompt} + 1;
  std::optional<Json> object = parse_object(line(prompt));
  if (!object) return BadPrompt{fmt::format("line {} is not a JSON object", number)};
  const auto found = object->find(field_);
  if (found == object->end()) {
    return BadPrompt{fmt::format("line {} has no field '{}'", number, field_)};
  }
  if (!found->is_string()) {
    return BadPrompt{fmt::format("line {}: field '{}' is a {}, expected a string", number, field_,
                                 found->type_name())};
  }
  return std::move(found->get_ref<std::string&>());
}

std::optional<std::string> JsonLines::record(PromptId prompt) const {
  std::string text = line(prompt);
  if (!parse_object(text)) return std::nullopt;
  constexpr const char* kBlanks = " \t\r";
  const std::size_t first = text.find_first_not_of(kBlanks);
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

}  // namespace gridmill::detail
