#pragma once

#include <string>
#include <string_view>

#include "gridmill/template/value.hpp"
#include "template/budget.hpp"

namespace gridmill::jinja {

/// The name of a value's type in Python, for messages.
[[nodiscard]] std::string_view type_name(const Value& value);
/// Python's repr of a float: the shortest digits that read back as the same value.
[[nodiscard]] std::string float_text(double value);

/// Python's str(): what `{{ value }}` prints. @throws Fault for what has no fixed text, such as a
/// macro.
void print(const Value& value, std::string& out, Budget& budget);
[[nodiscard]] std::string printed(const Value& value, Budget& budget);

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  bool multi_line = false;
  std::string indent;  ///< of a level, with multi_line
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};
/// Python's json.dumps. @throws Fault for what JSON cannot say.
[[nodiscard]] std::string json_text(const Value& value, const JsonStyle& style, Budget& budget);

}  // namespace gridmill::jinja
