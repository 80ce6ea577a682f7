#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "gridmill/template/value.hpp"

namespace gridmill::jinja {

/// The value of a text literal without its quotes; nothing for an escape that Python refuses.
[[nodiscard]] std::optional<std::string> unescaped(std::string_view written);

struct NumberLiteral {
  std::string digits;  ///< without '_'; with its 0x, 0o or 0b
  std::size_t length;  ///< bytes in the source
  bool is_float;
};
/// @param text  begins with a digit.
[[nodiscard]] NumberLiteral number_literal(std::string_view text, bool may_be_float);
/// The value of a literal; nothing if an integer does not fit 64 bits.
[[nodiscard]] std::optional<Value> integer_value(const std::string& digits);

}  // namespace gridmill::jinja
