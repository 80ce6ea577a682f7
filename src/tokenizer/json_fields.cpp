#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "tokenizer/json_fields_detail.hpp"

namespace gridmill::tokenizer_detail {
namespace {

const Json& member(const Json& object, const char* key, const std::string& where) {
  if (!object.is_object()) {
    throw FormatError(
        fmt::format("{} is {}, expected an object", where, std::string(object.type_name())));
  }
  const auto found = object.find(key);
  if (found == object.end()) throw FormatError(fmt::format("{} has no field `{}`", where, key));
  return *found;
}

[[noreturn]] void refuse_type(const Json& value, const char* key, std::string_view expected,
                              const std::string& where) {
  throw FormatError(fmt::format("{}: `{}` is {}, expected {}", where, key,
                                std::string(value.type_name()), expected));
}

}  // namespace

bool has(const Json& object, const char* key) {
  return object.is_object() && object.contains(key) && !object.at(key).is_null();
}

const Json& array_at(const Json& object, const char* key, const std::string& where) {
  const Json& value = member(object, key, where);
  if (!value.is_array()) refuse_type(value, key, "an array", where);
  return value;
}

const Json& object_at(const Json& object, const char* key, const std::string& where) {
  const Json& value = member(object, key, where);
  if (!value.is_object()) refuse_type(value, key, "an object", where);
  return value;
}

const std::string& text_at(const Json& object, const char* key, const std::string& where) {
  const Json& value = member(object, key, where);
  if (!value.is_string()) refuse_type(value, key, "a string", where);
  return value.get_ref<const std::string&>();
}

std::string text_or(const Json& object, const char* key, const std::string& fallback,
                    const std::string& where) {
  return has(object, key) ? text_at(object, key, where) : fallback;
}

bool flag_or(const Json& object, const char* key, bool fallback, const std::string& where) {
  if (!has(object, key)) return fallback;
  const Json& value = object.at(key);
  if (!value.is_boolean()) refuse_type(value, key, "true or false", where);
  return value.get<bool>();
}

int count_of(const Json& value, int largest, const std::string& where) {
  if (!value.is_number_integer() || value < 0 || value > largest) {
    throw FormatError(fmt::format("{} is {}, expected a whole number from 0 to {}", where,
                                  value.is_number() ? value.dump() : value.type_name(), largest));
  }
  return value.get<int>();
}

const std::string& type_of(const Json& component, const std::string& where) {
  return text_at(component, "type", where);
}

void refuse_component(const std::string& where, std::string_view found, std::string_view known) {
  throw FormatError(
      fmt::format("{} `{}` is unsupported; gridmill reads {}", where, std::string(found), known));
}

}  // namespace gridmill::tokenizer_detail
