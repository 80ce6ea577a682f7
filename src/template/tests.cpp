#include <algorithm>

#include "template/builtins.hpp"
#include "template/evaluator.hpp"
#include "template/operators.hpp"
#include "template/printing.hpp"
#include "template/unicode_text.hpp"

namespace gridmill::jinja {

namespace {

bool is_sequence(const Value& value) {
  const List* list = value.as_list();
  if (list != nullptr) return list->kind != ListKind::once && list->kind != ListKind::view;
  // An undefined value has a length, and so counts in jinja2.
  return value.as_text() != nullptr || value.as_dict() != nullptr || value.is_undefined();
}

bool is_iterable(const Value& value) {
  return value.as_list() != nullptr || value.as_text() != nullptr || value.as_dict() != nullptr ||
         value.is_undefined();
}

bool is_integer(const Value& value) {
  return value.get_if<std::int64_t>() != nullptr || value.get_if<BigInteger>() != nullptr;
}

/// An undefined value can be called, which then raises.
bool is_callable(const Value& value) {
  return value.is_undefined() || value.get_if<const Macro*>() != nullptr ||
         value.get_if<GlobalFunction>() != nullptr ||
         value.get_if<std::shared_ptr<const Method>>() != nullptr;
}

bool same_object(const Value& left, const Value& right, Budget& budget) {
  if (left.as_list() != nullptr || left.as_dict() != nullptr) {
    return left.as_list() == right.as_list() && left.as_dict() == right.as_dict();
  }
  return left.data().index() == right.data().index() && equal(left, right, budget);
}

template <bool (*holds)(const Value&)>
bool plain(Evaluator& /*evaluator*/, const Value& subject, const Arguments& arguments) {
  const Bound bound(arguments, {});
  return holds(subject);
}

template <Comparison comparison>
bool compared(Evaluator& evaluator, const Value& subject, const Arguments& arguments) {
  const Bound bound(arguments, {"other"});
  return compare(comparison, subject, bound.required(0), evaluator.budget());
}

bool remainder_is(const Value& subject, const Value& divisor, std::int64_t wanted, Budget& budget) {
  const Value rest = calculate(BinaryOperator::modulo, subject, divisor, budget);
  return equal(rest, Value::integer(wanted), budget);
}

bool test_odd(Evaluator& evaluator, const Value& subject, const Arguments& arguments) {
  const Bound bound(arguments, {});
  return remainder_is(subject, Value::integer(2), 1, evaluator.budget());
}
bool test_even(Evaluator& evaluator, const Value& subject, const Arguments& arguments) {
  const Bound bound(arguments, {});
  return remainder_is(subject, Value::integer(2), 0, evaluator.budget());
}
bool test_divisibleby(Evaluator& evaluator, const Value& subject, const Arguments& arguments) {
  const Bound bound(arguments, {"num"});
  return remainder_is(subject, bound.required(0), 0, evaluator.budget());
}
bool test_sameas(Evaluator& evaluator, const Value& subject, const Arguments& arguments) {
  const Bound bound(arguments, {"other"});
  return same_object(subject, bound.required(0), evaluator.budget());
}
bool test_upper(Evaluator& evaluator, const Value& subject, const Arguments& arguments) {
  const Bound bound(arguments, {});
  return is_upper(evaluator.printed(subject));
}
bool test_lower(Evaluator& evaluator, const Value& subject, const Arguments& arguments) {
  const Bound bound(arguments, {});
  return is_lower(evaluator.printed(subject));
}

bool is_undefined(const Value& value) { return value.is_undefined(); }
bool is_defined(const Value& value) { return !value.is_undefined(); }
bool is_none(const Value& value) { return value.is_none(); }
bool is_string(const Value& value) { return value.as_text() != nullptr; }
bool is_mapping(const Value& value) { return value.as_dict() != nullptr; }
bool is_boolean(const Value& value) { return value.get_if<bool>() != nullptr; }
bool is_true(const Value& value) { return is_boolean(value) && *value.get_if<bool>(); }
bool is_false(const Value& value) { return is_boolean(value) && !*value.get_if<bool>(); }
bool is_float(const Value& value) { return value.get_if<double>() != nullptr; }
bool is_number(const Value& value) {
  return is_integer(value) || is_float(value) || is_boolean(value);
}

constexpr Test kTests[] = {
    {"!=", compared<Comparison::unequal>},
    {"<", compared<Comparison::less>},
    {"<=", compared<Comparison::less_equal>},
    {"==", compared<Comparison::equal>},
    {">", compared<Comparison::greater>},
    {">=", compared<Comparison::greater_equal>},
    {"boolean", plain<is_boolean>},
    {"callable", plain<is_callable>},
    {"defined", plain<is_defined>},
    {"divisibleby", test_divisibleby},
    {"eq", compared<Comparison::equal>},
    {"equalto", compared<Comparison::equal>},
    {"even", test_even},
    {"false", plain<is_false>},
    {"float", plain<is_float>},
    {"ge", compared<Comparison::greater_equal>},
    {"greaterthan", compared<Comparison::greater>},
    {"gt", compared<Comparison::greater>},
    {"in", compared<Comparison::in>},
    {"integer", plain<is_integer>},
    {"iterable", plain<is_iterable>},
    {"le", compared<Comparison::less_equal>},
    {"lessthan", compared<Comparison::less>},
    {"lower", test_lower},
    {"lt", compared<Comparison::less>},
    {"mapping", plain<is_mapping>},
    {"ne", compared<Comparison::unequal>},
    {"none", plain<is_none>},
    {"number", plain<is_number>},
    {"odd", test_odd},
    {"sameas", test_sameas},
    {"sequence", plain<is_sequence>},
    {"string", plain<is_string>},
    {"true", plain<is_true>},
    {"undefined", plain<is_undefined>},
    {"upper", test_upper},
};

}  // namespace

const Test* find_test(std::string_view name) {
  const auto* const found = std::find_if(std::begin(kTests), std::end(kTests),
                                         [&](const Test& t) { return t.name == name; });
  return found == std::end(kTests) ? nullptr : found;
}

}  // namespace gridmill::jinja
