#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>

#include "convert/config_fields_detail.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/log.hpp"

namespace gridmill::convert_detail {

namespace {

/// Long values are cut: a message stays a line.
std::string shown(const Json& value) {
  constexpr std::size_t kLongest = 120;
  std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (text.size() > kLongest) text = text.substr(0, kLongest) + "...";
  return text;
}

bool is_neutral(const Json& value, bool neutral_one) {
  if (value.is_boolean()) return !value.get<bool>();
  if (value.is_number()) return value == 0 || (neutral_one && value == 1);
  if (value.is_array() || value.is_object() || value.is_string()) return value.empty();
  return value.is_null();
}

}  // namespace

ConfigFields::ConfigFields(const Json& fields, std::string where)
    : fields_(fields), where_(std::move(where)) {
  if (!fields_.is_object()) {
    throw FormatError(fmt::format("{}: expected an object, found {}", where_, shown(fields_)));
  }
}

void ConfigFields::fail(const std::string& name, const std::string& problem) const {
  throw FormatError(fmt::format("{}: field {} {}", where_, name, problem));
}

const Json* ConfigFields::value(const std::string& name) {
  read_.insert(name);
  const auto found = fields_.find(name);
  if (found == fields_.end() || found->is_null()) return nullptr;
  if (found->is_string() && found->get_ref<const std::string&>() == "None") return nullptr;
  return &*found;
}

bool ConfigFields::mentioned(const std::string& name) const { return fields_.contains(name); }

bool ConfigFields::given(const std::string& name) { return value(name) != nullptr; }

std::int64_t ConfigFields::integer(const std::string& name, std::optional<std::int64_t> fallback) {
  const Json* found = value(name);
  if (found == nullptr) {
    if (!fallback) fail(name, "is missing, expected an integer");
    return *fallback;
  }
  if (found->is_number_unsigned() &&
      found->get<std::uint64_t>() > std::uint64_t{std::numeric_limits<std::int64_t>::max()}) {
    fail(name, "is " + shown(*found) + ", expected a 64-bit integer");
  }
  if (found->is_number_integer()) return found->get<std::int64_t>();
  constexpr double kExact = 9007199254740992.0;  // 2^53: integers up to here are exact doubles
  if (found->is_number_float()) {
    const double number = found->get<double>();
    if (std::abs(number) <= kExact && std::trunc(number) == number) {
      return static_cast<std::int64_t>(number);
    }
  }
  fail(name, "is " + shown(*found) + ", expected an integer");
}

std::int64_t ConfigFields::size(const std::string& name, std::optional<std::int64_t> fallback) {
  constexpr std::int64_t kLargest = std::numeric_limits<std::int32_t>::max();
  const std::int64_t found = integer(name, fallback);
  if (found < 1 || found > kLargest) {
    fail(name, fmt::format("is {}, expected 1 to {}", found, kLargest));
  }
  return found;
}

double ConfigFields::number(const std::string& name, std::optional<double> fallback) {
  const Json* found = value(name);
  if (found == nullptr) {
    if (!fallback) fail(name, "is missing, expected a number");
    return *fallback;
  }
  if (!found->is_number() || !std::isfinite(found->get<double>())) {
    fail(name, "is " + shown(*found) + ", expected a number");
  }
  return found->get<double>();
}

double ConfigFields::positive(const std::string& name, std::optional<double> fallback) {
  const double found = number(name, fallback);
  if (!(found > 0)) fail(name, fmt::format("is {}, expected more than 0", found));
  return found;
}

bool ConfigFields::flag(const std::string& name, bool fallback) {
  const Json* found = value(name);
  if (found == nullptr) return fallback;
  if (!found->is_boolean()) fail(name, "is " + shown(*found) + ", expected true or false");
  return found->get<bool>();
}

std::string ConfigFields::text(const std::string& name, std::optional<std::string> fallback) {
  const Json* found = value(name);
  if (found == nullptr) {
    if (!fallback) fail(name, "is missing, expected text");
    return *fallback;
  }
  if (!found->is_string()) fail(name, "is " + shown(*found) + ", expected text");
  return found->get<std::string>();
}

std::vector<std::int64_t> ConfigFields::token_ids(const std::string& name) {
  const Json* found = value(name);
  if (found == nullptr) return {};
  const Json list = found->is_array() ? *found : Json::array({*found});
  std::vector<std::int64_t> ids;
  for (const Json& id : list) {
    if (!id.is_number_integer()) {
      fail(name, "is " + shown(*found) + ", expected a token id or a list of them");
    }
    if (id.get<std::int64_t>() >= 0) ids.push_back(id.get<std::int64_t>());
  }
  return ids;
}

void ConfigFields::ignore(std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) read_.emplace(name);
}

void ConfigFields::refuse(std::initializer_list<std::string_view> names, bool neutral_one) {
  for (const std::string_view name : names) {
    const Json* found = value(std::string(name));
    if (found != nullptr && !is_neutral(*found, neutral_one)) {
      fail(std::string(name), "is " + shown(*found) + ": this is unsupported");
    }
  }
}

std::vector<std::string> ConfigFields::unread() const {
  std::vector<std::string> names;
  for (const auto& [name, value] : fields_.items()) {
    if (!read_.contains(name)) names.push_back(name);
  }
  return names;
}

void ConfigFields::refuse_unread() const {
  std::string harmless;
  for (const std::string& name : unread()) {
    if (!is_neutral(fields_.at(name), false)) {
      fail(name, "is " + shown(fields_.at(name)) +
                     ": gridmill does not know what it means, so it is unsupported; take it out if "
                     "the model computes the same without it");
    }
    harmless += (harmless.empty() ? "" : ", ") + name;
  }
  if (!harmless.empty()) log::warn("{}: ignored, since it is off: {}", where_, harmless);
}

}  // namespace gridmill::convert_detail
