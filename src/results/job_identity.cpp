#include "gridmill/results/job_identity.hpp"

#include <cstddef>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill {

namespace {

std::string shown(const Json& value) {
  constexpr std::size_t kLongest = 60;
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > kLongest) text = text.substr(0, kLongest) + "...";
  return text;
}

}  // namespace

JobIdentity JobIdentity::from_text(const std::string& text, const std::string& where) {
  JobIdentity identity{parse_json(text, where)};
  if (!identity.fields.is_object()) {
    throw FormatError(fmt::format("{}: expected a JSON object", where));
  }
  return identity;
}

std::vector<FieldDifference> differences_of(const JobIdentity& there, const JobIdentity& here) {
  constexpr const char* kNotSet = "not set";
  std::vector<FieldDifference> differences;
  for (const auto& [name, value] : there.fields.items()) {
    const auto found = here.fields.find(name);
    if (found != here.fields.end() && *found == value) continue;
    differences.push_back(
        {name, shown(value), found == here.fields.end() ? kNotSet : shown(*found)});
  }
  for (const auto& [name, value] : here.fields.items()) {
    if (!there.fields.contains(name)) differences.push_back({name, kNotSet, shown(value)});
  }
  return differences;
}

std::string describe_difference(const JobIdentity& there, const JobIdentity& here) {
  std::vector<std::string> texts;
  for (const FieldDifference& field : differences_of(there, here)) {
    texts.push_back(fmt::format("{} is {} there and {} here", field.name, field.there, field.here));
  }
  return fmt::format("{}", fmt::join(texts, ", "));
}

}  // namespace gridmill
