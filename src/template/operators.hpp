#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "gridmill/template/value.hpp"
#include "template/budget.hpp"

namespace gridmill::jinja {

enum class BinaryOperator : std::uint8_t {
  add,
  subtract,
  multiply,
  divide,
  floor_divide,
  modulo,
  power
};
enum class Comparison : std::uint8_t {
  equal,
  unequal,
  less,
  less_equal,
  greater,
  greater_equal,
  in,
  not_in
};

/// Operators as Python has them on these values. Every function throws a Fault where Python raises.

[[nodiscard]] bool truth(const Value& value);
[[nodiscard]] bool equal(const Value& left, const Value& right, Budget& budget);
[[nodiscard]] bool less(const Value& left, const Value& right, Budget& budget);
[[nodiscard]] bool contains(const Value& container, const Value& item, Budget& budget);
[[nodiscard]] bool compare(Comparison comparison, const Value& left, const Value& right,
                           Budget& budget);
/// Integers beyond 64 bits are a Fault. A text that passed `safe` escapes the HTML of a text that
/// is added to it, as Markup does.
[[nodiscard]] Value calculate(BinaryOperator op, const Value& left, const Value& right,
                              Budget& budget);
[[nodiscard]] Value negate(const Value& value);

/// An int or a bool; nothing for other values.
[[nodiscard]] std::optional<std::int64_t> as_integer(const Value& value);
/// An int, a bool or a float; nothing for other values.
[[nodiscard]] std::optional<double> as_number(const Value& value);

/// object[key], without methods; undefined if there is none.
[[nodiscard]] Value item_of(const Value& object, const Value& key, Budget& budget);
/// A missing bound is nothing. @throws Fault for what has no slices.
[[nodiscard]] Value slice_of(const Value& object, const Value& start, const Value& stop,
                             const Value& step, Budget& budget);
[[nodiscard]] const Value* find_key(const Dict& dict, const Value& key, Budget& budget);
/// Finds a method's or attribute's owner. @throws Fault if `value` is undefined.
void refuse_undefined(const Value& value);
/// Items of an iteration over `value`. A `once` list gives its items the first time only.
[[nodiscard]] std::vector<Value> items_of(const Value& value, Budget& budget);
[[nodiscard]] std::int64_t length_of(const Value& value, Budget& budget);
[[nodiscard]] std::string escape_html(std::string_view text);

}  // namespace gridmill::jinja
