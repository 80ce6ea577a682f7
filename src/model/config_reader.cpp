#include "model/config_reader.hpp"

#include <cmath>
#include <limits>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill::model_detail {

ConfigReader::ConfigReader(const Json& object, std::string where)
    : object_(object), where_(std::move(where)) {
  if (!object.is_object()) fail(fmt::format("expected an object, found {}", object.type_name()));
}

std::int64_t ConfigReader::integer(const std::string& name, std::int64_t least) {
  const Json& value = require(name);
  if (!value.is_number_integer()) {
    fail(fmt::format("{} is {}, expected an integer", name, value.dump()));
  }
  const bool too_large = value.is_number_unsigned() &&
                         value.get<std::uint64_t>() >
                             static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (too_large || value.get<std::int64_t>() < least) {
    fail(fmt::format("{} is {}, expected at least {}", name, value.dump(), least));
  }
  return value.get<std::int64_t>();
}

std::int64_t ConfigReader::integer_or(const std::string& name, std::int64_t fallback,
                                      std::int64_t least) {
  return find(name) == nullptr ? fallback : integer(name, least);
}

int ConfigReader::size(const std::string& name, int least) {
  constexpr std::int64_t kMost = 1'000'000;
  const std::int64_t value = integer(name, least);
  if (value > kMost) fail(fmt::format("{} is {}, expected at most {}", name, value, kMost));
  return static_cast<int>(value);
}

int ConfigReader::size_or(const std::string& name, int fallback, int least) {
  return find(name) == nullptr ? fallback : size(name, least);
}

double ConfigReader::number(const std::string& name, double least) {
  const Json& value = require(name);
  if (!value.is_number()) fail(fmt::format("{} is {}, expected a number", name, value.dump()));
  const auto number = value.get<double>();
  if (!std::isfinite(number) || number < least) {
    fail(fmt::format("{} is {}, expected at least {}", name, value.dump(), least));
  }
  return number;
}

double ConfigReader::number_or(const std::string& name, double fallback, double least) {
  return find(name) == nullptr ? fallback : number(name, least);
}

bool ConfigReader::flag_or(const std::string& name, bool fallback) {
  const Json* value = find(name);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) {
    fail(fmt::format("{} is {}, expected true or false", name, value->dump()));
  }
  return value->get<bool>();
}

std::string ConfigReader::text(const std::string& name) {
  const Json& value = require(name);
  if (!value.is_string()) fail(fmt::format("{} is {}, expected a text", name, value.dump()));
  return value.get<std::string>();
}

std::string ConfigReader::text_or(const std::string& name, const std::string& fallback) {
  return find(name) == nullptr ? fallback : text(name);
}

std::vector<std::int64_t> ConfigReader::integers_or_none(const std::string& name,
                                                         std::int64_t least) {
  std::vector<std::int64_t> result;
  const Json* value = find(name);
  if (value == nullptr) return result;
  if (!value->is_array()) fail(fmt::format("{} is {}, expected a list", name, value->dump()));
  for (const Json& element : *value) {
    if (!element.is_number_integer() || element.get<std::int64_t>() < least) {
      fail(fmt::format("{} holds {}, expected integers of at least {}", name, element.dump(),
                       least));
    }
    result.push_back(element.get<std::int64_t>());
  }
  return result;
}

const Json& ConfigReader::object(const std::string& name) { return require(name); }

const Json& ConfigReader::list(const std::string& name) {
  const Json& value = require(name);
  if (!value.is_array()) fail(fmt::format("{} is {}, expected a list", name, value.dump()));
  return value;
}

std::vector<double> ConfigReader::positive_numbers(const std::string& name) {
  std::vector<double> numbers;
  for (const Json& element : list(name)) {
    const double number = element.is_number() ? element.get<double>() : 0;
    if (!std::isfinite(number) || number <= 0) {
      fail(fmt::format("{} holds {}, expected numbers of more than 0", name, element.dump()));
    }
    numbers.push_back(number);
  }
  return numbers;
}

void ConfigReader::finish() const {
  for (const auto& [name, value] : object_.items()) {
    if (!seen_.contains(name)) {
      fail(fmt::format("field \"{}\" is unknown (docs/models.md lists what there is)", name));
    }
  }
}

void ConfigReader::fail(const std::string& message) const {
  throw FormatError(where_ + ": " + message);
}

void ConfigReader::unsupported(const std::string& name, const std::string& found,
                               const std::string& known) const {
  fail(fmt::format("{} \"{}\" is unsupported; gridmill runs {}", name, found, known));
}

const Json* ConfigReader::find(const std::string& name) {
  seen_.insert(name);
  const auto found = object_.find(name);
  return found == object_.end() ? nullptr : &*found;
}

const Json& ConfigReader::require(const std::string& name) {
  const Json* value = find(name);
  if (value == nullptr) fail(fmt::format("field \"{}\" is missing", name));
  return *value;
}

TokenFields read_token_fields(ConfigReader& reader) {
  constexpr std::int64_t kLargestId = std::numeric_limits<TokenId>::max();
  TokenFields fields;
  fields.vocab_size = reader.integer("vocab_size", 1);
  if (fields.vocab_size > kLargestId) reader.fail("vocab_size exceeds 32-bit token ids");
  const std::int64_t bos_id = reader.integer_or("bos_id", -1, -1);
  if (bos_id >= fields.vocab_size) {
    reader.fail(fmt::format("bos_id is {}, but vocab_size is {}", bos_id, fields.vocab_size));
  }
  fields.bos_id = static_cast<TokenId>(bos_id);
  for (const std::int64_t id : reader.integers_or_none("eod_ids", 0)) {
    if (id > kLargestId) reader.fail(fmt::format("eod_ids holds {}, no 32-bit token id", id));
    fields.eod_ids.push_back(static_cast<TokenId>(id));
  }
  fields.max_length = reader.integer_or("max_length", 0, 0);
  return fields;
}

}  // namespace gridmill::model_detail
