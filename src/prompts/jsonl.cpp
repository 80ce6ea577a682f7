#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "json_record.hpp"
#include "sources_detail.hpp"

namespace gridmill::detail {

JsonLines::JsonLines(const std::string& path, PromptIndex index, std::string field)
    : TextLines(path, std::move(index)), field_(std::move(field)) {}

Prompt JsonLines::read_checked(PromptId prompt) const {
  const std::uint64_t number = std::uint64_t{prompt} + 1;
  const std::string text = line(prompt);
  std::optional<JsonRecord> record = parse_record(text);
  if (!record) return BadPrompt{fmt::format("line {} is not a JSON object", number)};
  if (const auto odd = record->oddity_in(field_, text)) {
    return BadPrompt{fmt::format("line {}: field '{}' has {} at column {}, which is no JSON",
                                 number, field_, odd->what, odd->column)};
  }
  const auto found = record->object.find(field_);
  if (found == record->object.end()) {
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
  if (!parse_record(text)) return std::nullopt;
  constexpr const char* kBlanks = " \t\r";
  const std::size_t first = text.find_first_not_of(kBlanks);
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

}  // namespace gridmill::detail
