#include "gridmill/results/job_identity.hpp"

#include <cstddef>
#include <vector>

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

std::string describe_difference(const JobIdentity& there, const JobIdentity& here) {
  std::vector<std::string> differences;
  for (const auto& [name, value] : there.fields.items()) {
    const auto found = here.fields.find(name);
    if (found == here.fields.end()) {
      differences.push_back(fmt::format("{} is {} there and not set here", name, shown(value)));
    } else if (*found != value) {
      differences.push_back(
          fmt::format("{} is {} there and {} here", name, shown(value), shown(*found)));
    }
  }
  for (const auto& [name, value] : here.fields.items()) {
    if (!there.fields.contains(name)) {
      differences.push_back(fmt::format("{} is not set there and {} here", name, shown(value)));
    }
  }
  return fmt::format("{}", fmt::join(differences, ", "));
}

}  // namespace gridmill
