#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "template/builtins.hpp"
#include "template/evaluator.hpp"
#include "template/operators.hpp"
#include "template/printing.hpp"
#include "template/unicode_text.hpp"

namespace gridmill::jinja {

namespace {

/// Python's float(text); nothing if the text is no number.
std::optional<double> parse_float(std::string_view text) {
  text = strip(text);
  if (text.starts_with('+')) text.remove_prefix(1);
  double value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || result.ec != std::errc() || result.ptr != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

std::optional<std::int64_t> parse_integer(std::string_view text, int base) {
  text = strip(text);
  if (text.starts_with('+')) text.remove_prefix(1);
  if (base == 16 && (text.starts_with("0x") || text.starts_with("0X"))) text.remove_prefix(2);
  std::int64_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (text.empty() || result.ec != std::errc() || result.ptr != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

std::optional<std::int64_t> truncated(double value) {
  if (!(std::fabs(value) < 9.2e18)) return std::nullopt;
  return static_cast<std::int64_t>(value);
}

Value filter_int(Evaluator& /*evaluator*/, const Value& subject, const Arguments& arguments) {
  const Bound bound(arguments, {"default", "base"});
  const std::int64_t base = bound.integer(1, 10);
  if (base < 2 || base > 36) throw Fault{"argument 'base' must be 2 to 36"};
  refuse_undefined(subject);
  if (const std::optional<std::int64_t> integer = as_integer(subject)) {
    return Value::integer(*integer);
  }
  if (subject.get_if<BigInteger>() != nullptr) return subject;
  std::optional<std::int64_t> value;
  if (const double* number = subject.get_if<double>()) {
    value = truncated(*number);
  } else if (const std::string* text = subject.as_text()) {
    value = parse_integer(*text, static_cast<int>(base));
    const std::optional<double> parsed = parse_float(*text);
    if (!value && parsed) value = truncated(*parsed);
  }
  return value ? Value::integer(*value) : bound.value(0, Value::integer(0));
}

Value filter_float(Evaluator& /*evaluator*/, const Value& subject, const Arguments& arguments) {
  const Bound bound(arguments, {"default"});
  refuse_undefined(subject);
  if (const std::optional<double> number = as_number(subject)) return Value::number(*number);
  if (const BigInteger* big = subject.get_if<BigInteger>()) {
    return Value::number(std::strtod(big->digits->c_str(), nullptr));
  }
  if (const std::string* text = subject.as_text()) {
    if (const std::optional<double> number = parse_float(*text)) return Value::number(*number);
  }
  return bound.value(0, Value::number(0.0));
}

Value filter_abs(Evaluator& /*evaluator*/, const Value& subject, const Arguments& arguments) {
  const Bound bound(arguments, {});
  if (const std::optional<std::int64_t> integer = as_integer(subject)) {
    return *integer < 0 ? negate(subject) : Value::integer(*integer);
  }
  if (const double* number = subject.get_if<double>()) return Value::number(std::fabs(*number));
  refuse_undefined(subject);
  throw Fault{fmt::format("bad operand type for abs(): '{}'", type_name(subject))};
}

/// `common` leaves integers alone and rounds floats as Python's round: exactly, half to even.
Value filter_round(Evaluator& /*evaluator*/, const Value& subject, const Arguments& arguments) {
  const Bound bound(arguments, {"precision", "method"});
  const std::optional<double> number = as_number(subject);
  if (!number) {
    refuse_undefined(subject);
    throw Fault{fmt::format("type {} doesn't define __round__ method", type_name(subject))};
  }
  const std::int64_t precision = bound.integer(0, 0);
  const std::string method = bound.get(1) == nullptr ? "common" : bound.text(1);
  if (precision < 0 || precision > 15) throw Fault{"rounding takes a precision of 0 to 15"};
  if (!std::isfinite(*number)) return Value::number(*number);
  if (method == "common") {
    if (const std::optional<std::int64_t> integer = as_integer(subject)) {
      return Value::integer(*integer);
    }
    // The decimal digits of a double are exact, and printing rounds their exact value.
    const std::string text = fmt::format("{:.{}f}", *number, precision);
    return Value::number(std::strtod(text.c_str(), nullptr));
  }
  const double scale = std::pow(10.0, static_cast<double>(precision));
  if (method == "ceil") return Value::number(std::ceil(*number * scale) / scale);
  if (method == "floor") return Value::number(std::floor(*number * scale) / scale);
  throw Fault{"method must be common, ceil or floor"};
}

Value filter_sum(Evaluator& evaluator, const Value& subject, const Arguments& arguments) {
  const Bound bound(arguments, {"attribute", "start"});
  Value sum = bound.value(1, Value::integer(0));
  for (const Value& item : items_of(subject, evaluator.budget())) {
    const bool by_attribute = bound.get(0) != nullptr && !bound.get(0)->is_none();
    sum = calculate(BinaryOperator::add, sum,
                    by_attribute ? evaluator.path(item, *bound.get(0)) : item, evaluator.budget());
  }
  return sum;
}

constexpr Filter kFilters[] = {
    {"abs", filter_abs},     {"float", filter_float}, {"int", filter_int},
    {"round", filter_round}, {"sum", filter_sum},
};

}  // namespace

const Filter* find_number_filter(std::string_view name) {
  const auto* const found = std::find_if(std::begin(kFilters), std::end(kFilters),
                                         [&](const Filter& f) { return f.name == name; });
  return found == std::end(kFilters) ? nullptr : found;
}

}  // namespace gridmill::jinja
