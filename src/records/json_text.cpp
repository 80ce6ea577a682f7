#include "gridmill/records/json_text.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>
#include <variant>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/json.hpp"

namespace gridmill {

namespace {

std::string dumped(const OrderedJson& value) {
  return value.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

void append_value(std::string& text, const jinja::Value& value) {
  if (const auto* flag = value.get_if<bool>()) {
    text += *flag ? "true" : "false";
  } else if (const auto* integer = value.get_if<std::int64_t>()) {
    text += fmt::format("{}", *integer);
  } else if (const auto* big = value.get_if<jinja::BigInteger>()) {
    text += *big->digits;
  } else if (const auto* number = value.get_if<double>()) {
    text += dumped(*number);
  } else if (const std::string* string = value.as_text()) {
    text += json_string(*string);
  } else if (const jinja::List* list = value.as_list()) {
    text += '[';
    for (std::size_t i = 0; i < list->items.size(); ++i) {
      if (i > 0) text += ',';
      append_value(text, list->items[i]);
    }
    text += ']';
  } else if (const jinja::Dict* dict = value.as_dict()) {
    text += '{';
    bool first = true;
    for (const auto& [key, member] : dict->entries) {
      if (!first) text += ',';
      first = false;
      append_value(text, key);
      text += ':';
      append_value(text, member);
    }
    text += '}';
  } else {
    text += "null";
  }
}

template <typename T>
std::string number_text(T value) {
  if constexpr (std::is_same_v<T, float>) {
    return dumped(value);  // as a double, NaN as null
  } else {
    return fmt::format("{}", value);
  }
}

template <typename T>
std::string list_text(std::span<const T> values, std::size_t columns) {
  std::string text = "[";
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i > 0) text += ',';
    if (columns > 0 && i % columns == 0) text += '[';
    text += number_text(values[i]);
    if (columns > 0 && i % columns == columns - 1) text += ']';
  }
  return text + "]";
}

/// Reads a line of JSON that is in order: it only looks where things end.
class MemberScan {
 public:
  explicit MemberScan(std::string_view text) : text_(text) {}

  std::vector<JsonMember> members() {
    std::vector<JsonMember> found;
    skip_blanks();
    ++at_;  // {
    for (skip_blanks(); at_ < text_.size() && text_[at_] != '}'; skip_blanks()) {
      JsonMember member;
      const std::size_t key = at_;
      skip_string();
      member.key = key_of(text_.substr(key, at_ - key));
      skip_blanks();
      ++at_;  // :
      skip_blanks();
      const std::size_t value = at_;
      skip_value();
      member.value = text_.substr(value, at_ - value);
      found.push_back(std::move(member));
      skip_blanks();
      if (at_ < text_.size() && text_[at_] == ',') ++at_;
    }
    return found;
  }

 private:
  /// Half of a surrogate pair, which Python writes, leaves the key as it stands.
  static std::string key_of(std::string_view text) {
    try {
      return parse_json(text, "key").get<std::string>();
    } catch (const FormatError&) {
      return std::string(text.substr(1, text.size() - 2));
    }
  }
  void skip_blanks() { at_ = std::min(text_.find_first_not_of(" \t\r\n", at_), text_.size()); }
  void skip_string() {
    for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_) {
      if (text_[at_] == '\\') ++at_;
    }
    at_ = std::min(at_ + 1, text_.size());
  }
  void skip_value() {
    int depth = 0;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"') {
        skip_string();
        if (depth == 0) return;
        continue;
      }
      if (c == '{' || c == '[') ++depth;
      if (c == '}' || c == ']') {
        if (depth == 0) return;  // of the object around it
        if (--depth == 0) {
          ++at_;
          return;
        }
      }
      if (depth == 0 && (c == ',' || c == ' ' || c == '\t')) return;
      ++at_;
    }
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

std::string json_string(std::string_view text) { return dumped(std::string(text)); }

std::string json_of(const jinja::Value& value) {
  std::string text;
  append_value(text, value);
  return text;
}

std::string json_of(const RowValue& value, std::size_t columns) {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* integer = std::get_if<std::int64_t>(&value)) return number_text(*integer);
  if (const auto* number = std::get_if<double>(&value)) return dumped(*number);
  if (const auto* text = std::get_if<std::string>(&value)) return json_string(*text);
  if (const auto* json = std::get_if<JsonText>(&value)) return json->json;
  if (const auto* ids = std::get_if<std::span<const TokenId>>(&value)) {
    return list_text(*ids, columns);
  }
  if (const auto* numbers = std::get_if<std::span<const float>>(&value)) {
    return list_text(*numbers, columns);
  }
  return "null";
}

std::vector<JsonMember> members_of_json(std::string_view object) {
  return MemberScan(object).members();
}

}  // namespace gridmill
