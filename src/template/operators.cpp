#include "template/operators.hpp"

#include <algorithm>
#include <cmath>

#include "template/containers.hpp"
#include "template/printing.hpp"
#include "template/unicode_text.hpp"

namespace gridmill::jinja {

namespace {

constexpr std::string_view kSymbols[] = {"+", "-", "*", "/", "//", "%", "** or pow()"};

[[noreturn]] void refuse_operands(BinaryOperator op, const Value& left, const Value& right) {
  refuse_undefined(left);
  refuse_undefined(right);
  if (op == BinaryOperator::add && left.as_text() != nullptr) {
    throw Fault{fmt::format("can only concatenate str (not \"{}\") to str", type_name(right))};
  }
  throw Fault{fmt::format("unsupported operand type(s) for {}: '{}' and '{}'",
                          kSymbols[static_cast<std::size_t>(op)], type_name(left),
                          type_name(right))};
}

[[noreturn]] void refuse_size() {
  throw Fault{"an integer beyond 64 bits in a calculation is not supported"};
}

std::int64_t integer_power(std::int64_t base, std::int64_t exponent) {
  std::int64_t result = 1;
  if (base == 0 || base == 1) return exponent == 0 ? 1 : base;
  if (base == -1) return exponent % 2 == 0 ? 1 : -1;
  for (std::int64_t i = 0; i < exponent; ++i) {
    if (__builtin_mul_overflow(result, base, &result)) refuse_size();
  }
  return result;
}

std::int64_t floor_divide(std::int64_t left, std::int64_t right) {
  if (right == 0) throw Fault{"integer division or modulo by zero"};
  if (right == -1) {
    std::int64_t result = 0;
    if (__builtin_sub_overflow(std::int64_t{0}, left, &result)) refuse_size();
    return result;
  }
  const std::int64_t quotient = left / right;
  return left % right != 0 && (left < 0) != (right < 0) ? quotient - 1 : quotient;
}

Value of_integers(BinaryOperator op, std::int64_t left, std::int64_t right) {
  std::int64_t result = 0;
  bool overflow = false;
  switch (op) {
    case BinaryOperator::add:
      overflow = __builtin_add_overflow(left, right, &result);
      break;
    case BinaryOperator::subtract:
      overflow = __builtin_sub_overflow(left, right, &result);
      break;
    case BinaryOperator::multiply:
      overflow = __builtin_mul_overflow(left, right, &result);
      break;
    case BinaryOperator::divide:
      if (right == 0) throw Fault{"division by zero"};
      return Value::number(static_cast<double>(left) / static_cast<double>(right));
    case BinaryOperator::floor_divide:
      result = floor_divide(left, right);
      break;
    case BinaryOperator::modulo:
      result = right == -1 ? 0 : left - floor_divide(left, right) * right;
      break;
    case BinaryOperator::power:
      if (right < 0) {
        if (left == 0) throw Fault{"0.0 cannot be raised to a negative power"};
        return Value::number(std::pow(static_cast<double>(left), static_cast<double>(right)));
      }
      result = integer_power(left, right);
      break;
  }
  if (overflow) refuse_size();
  return Value::integer(result);
}

Value of_numbers(BinaryOperator op, double left, double right) {
  const bool divides = op == BinaryOperator::divide || op == BinaryOperator::floor_divide ||
                       op == BinaryOperator::modulo;
  if (divides && right == 0.0) throw Fault{"float division by zero"};
  switch (op) {
    case BinaryOperator::add:
      return Value::number(left + right);
    case BinaryOperator::subtract:
      return Value::number(left - right);
    case BinaryOperator::multiply:
      return Value::number(left * right);
    case BinaryOperator::divide:
      return Value::number(left / right);
    case BinaryOperator::floor_divide:
      return Value::number(std::floor(left / right));
    case BinaryOperator::modulo: {
      const double rest = std::fmod(left, right);
      return Value::number(rest != 0.0 && (rest < 0.0) != (right < 0.0) ? rest + right : rest);
    }
    case BinaryOperator::power:
      break;
  }
  if (left < 0 && right != std::floor(right)) throw Fault{"complex numbers are not supported"};
  if (left == 0.0 && right < 0) throw Fault{"0.0 cannot be raised to a negative power"};
  return Value::number(std::pow(left, right));
}

Value concatenated(const Text& left, const Text& right, Budget& budget) {
  const bool safe = left.safe || right.safe;
  std::string joined;
  for (const Text* part : {&left, &right}) {
    // Five times: the longest entity for one byte.
    budget.create(part->utf8->size() * (safe && !part->safe ? 6 : 1));
    joined += safe && !part->safe ? escape_html(*part->utf8) : *part->utf8;
  }
  return Value(Value::Data(Text{std::make_shared<const std::string>(std::move(joined)), safe}));
}

Value joined_lists(const Value& left, const Value& right, Budget& budget) {
  const List& first = *left.as_list();
  const List& second = *right.as_list();
  const bool plain = first.kind == ListKind::list || first.kind == ListKind::tuple;
  if (first.kind != second.kind || !plain) refuse_operands(BinaryOperator::add, left, right);
  budget.create((first.items.size() + second.items.size()) * sizeof(Value));
  std::vector<Value> items = first.items;
  items.insert(items.end(), second.items.begin(), second.items.end());
  return make_list(std::move(items), first.kind);
}

/// text * n, list * n.
Value repeated(const Value& value, std::int64_t times, Budget& budget) {
  const auto count = static_cast<std::uint64_t>(std::max<std::int64_t>(times, 0));
  if (const std::string* text = value.as_text()) {
    if (!text->empty() && count > (std::uint64_t{1} << 40) / text->size())
      budget.create(UINT64_MAX);
    budget.create(text->size() * count);
    std::string result;
    for (std::uint64_t i = 0; i < count && !text->empty(); ++i) result += *text;
    return Value::text(std::move(result));
  }
  const List& list = *value.as_list();
  if (!list.items.empty() && count > (std::uint64_t{1} << 40) / list.items.size()) {
    budget.create(UINT64_MAX);
  }
  budget.create(list.items.size() * sizeof(Value) * count);
  std::vector<Value> items;
  for (std::uint64_t i = 0; i < count && !list.items.empty(); ++i) {
    items.insert(items.end(), list.items.begin(), list.items.end());
  }
  return make_list(std::move(items), list.kind);
}

bool can_repeat(const Value& value) {
  const List* list = value.as_list();
  return value.as_text() != nullptr ||
         (list != nullptr && (list->kind == ListKind::list || list->kind == ListKind::tuple));
}

}  // namespace

Value calculate(BinaryOperator op, const Value& left, const Value& right, Budget& budget) {
  const std::optional<std::int64_t> left_integer = as_integer(left);
  const std::optional<std::int64_t> right_integer = as_integer(right);
  if (left_integer && right_integer) return of_integers(op, *left_integer, *right_integer);
  const std::optional<double> left_number = as_number(left);
  const std::optional<double> right_number = as_number(right);
  if (left_number && right_number) return of_numbers(op, *left_number, *right_number);
  if (left.get_if<BigInteger>() != nullptr || right.get_if<BigInteger>() != nullptr) refuse_size();
  if (op == BinaryOperator::add) {
    const Text* left_text = left.get_if<Text>();
    const Text* right_text = right.get_if<Text>();
    if (left_text != nullptr && right_text != nullptr) {
      return concatenated(*left_text, *right_text, budget);
    }
    if (left.as_list() != nullptr && right.as_list() != nullptr) {
      return joined_lists(left, right, budget);
    }
  } else if (op == BinaryOperator::multiply) {
    if (can_repeat(left) && right_integer) return repeated(left, *right_integer, budget);
    if (can_repeat(right) && left_integer) return repeated(right, *left_integer, budget);
  } else if (op == BinaryOperator::modulo && left.as_text() != nullptr) {
    throw Fault{"formatting with % is not supported"};
  }
  refuse_operands(op, left, right);
}

Value negate(const Value& value) {
  if (const std::optional<std::int64_t> integer = as_integer(value)) {
    return of_integers(BinaryOperator::subtract, 0, *integer);
  }
  if (const double* number = value.get_if<double>()) return Value::number(-*number);
  refuse_undefined(value);
  throw Fault{fmt::format("bad operand type for unary -: '{}'", type_name(value))};
}

std::string escape_html(std::string_view text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '\'':
        result += "&#39;";
        break;
      case '"':
        result += "&#34;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

}  // namespace gridmill::jinja
