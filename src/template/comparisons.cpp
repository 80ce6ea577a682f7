#include <algorithm>
#include <cmath>

#include "template/operators.hpp"
#include "template/printing.hpp"

namespace gridmill::jinja {

namespace {

bool is_hashable(const Value& key) {
  if (key.as_dict() != nullptr) return false;
  const List* list = key.as_list();
  return list == nullptr || list->kind == ListKind::tuple;
}

[[noreturn]] void refuse_order(const Value& left, const Value& right) {
  refuse_undefined(left);
  refuse_undefined(right);
  throw Fault{fmt::format("'<' not supported between instances of '{}' and '{}'", type_name(left),
                          type_name(right))};
}

bool equal_items(const std::vector<Value>& left, const std::vector<Value>& right, Budget& budget) {
  if (left.size() != right.size()) return false;
  for (std::size_t i = 0; i < left.size(); ++i) {
    if (!equal(left[i], right[i], budget)) return false;
  }
  return true;
}

bool equal_dicts(const Dict& left, const Dict& right, Budget& budget) {
  if (left.entries.size() != right.entries.size()) return false;
  for (const auto& [key, value] : left.entries) {
    const Value* other = find_key(right, key, budget);
    if (other == nullptr || !equal(value, *other, budget)) return false;
  }
  return true;
}

}  // namespace

void refuse_undefined(const Value& value) {
  if (const Undefined* undefined = value.get_if<Undefined>()) {
    throw Fault{undefined->why ? *undefined->why : "a value is undefined"};
  }
}

std::optional<std::int64_t> as_integer(const Value& value) {
  if (const auto* integer = value.get_if<std::int64_t>()) return *integer;
  if (const bool* truth_value = value.get_if<bool>()) return *truth_value ? 1 : 0;
  return std::nullopt;
}

std::optional<double> as_number(const Value& value) {
  if (const double* number = value.get_if<double>()) return *number;
  if (const std::optional<std::int64_t> integer = as_integer(value)) {
    return static_cast<double>(*integer);
  }
  return std::nullopt;
}

bool truth(const Value& value) {
  if (value.is_undefined() || value.is_none()) return false;
  if (const bool* truth_value = value.get_if<bool>()) return *truth_value;
  if (const auto* integer = value.get_if<std::int64_t>()) return *integer != 0;
  if (const double* number = value.get_if<double>()) return *number != 0.0;
  if (const std::string* text = value.as_text()) return !text->empty();
  if (const List* list = value.as_list())
    return list->kind == ListKind::once || !list->items.empty();
  if (const Dict* dict = value.as_dict()) return !dict->entries.empty();
  return true;
}

bool equal(const Value& left, const Value& right, Budget& budget) {
  budget.steps(1);
  if (const std::string* text = left.as_text()) {
    const std::string* other = right.as_text();
    if (other == nullptr || text->size() != other->size()) return false;
    budget.scan(text->size());
    return *text == *other;
  }
  if (const List* list = left.as_list()) {
    const List* other = right.as_list();
    if (other == nullptr) return false;
    if (list == other) return true;
    return list->kind == other->kind && list->kind != ListKind::once &&
           equal_items(list->items, other->items, budget);
  }
  if (const Dict* dict = left.as_dict()) {
    const Dict* other = right.as_dict();
    return other != nullptr && (dict == other || equal_dicts(*dict, *other, budget));
  }
  if (left.is_undefined() || right.is_undefined()) {
    return left.is_undefined() && right.is_undefined();
  }
  const std::optional<std::int64_t> integer = as_integer(left);
  const std::optional<std::int64_t> other_integer = as_integer(right);
  if (integer && other_integer) return *integer == *other_integer;
  const std::optional<double> number = as_number(left);
  const std::optional<double> other_number = as_number(right);
  if (number && other_number) return *number == *other_number;
  if (const BigInteger* big = left.get_if<BigInteger>()) {
    const BigInteger* other = right.get_if<BigInteger>();
    return other != nullptr && *big->digits == *other->digits;
  }
  if (left.data().index() != right.data().index()) return false;
  if (left.is_none()) return true;
  if (const auto* space = left.get_if<Namespace*>()) return *space == *right.get_if<Namespace*>();
  if (const auto* macro = left.get_if<const Macro*>()) {
    return *macro == *right.get_if<const Macro*>();
  }
  if (const auto* function = left.get_if<GlobalFunction>()) {
    return *function == *right.get_if<GlobalFunction>();
  }
  return false;
}

bool less(const Value& left, const Value& right, Budget& budget) {
  budget.steps(1);
  const std::string* text = left.as_text();
  const std::string* other_text = right.as_text();
  if (text != nullptr && other_text != nullptr) {
    budget.scan(std::min(text->size(), other_text->size()));
    return *text < *other_text;  // bytes of UTF-8 order as code points do
  }
  const std::optional<std::int64_t> integer = as_integer(left);
  const std::optional<std::int64_t> other_integer = as_integer(right);
  if (integer && other_integer) return *integer < *other_integer;
  const std::optional<double> number = as_number(left);
  const std::optional<double> other_number = as_number(right);
  if (number && other_number) return *number < *other_number;
  const List* list = left.as_list();
  const List* other = right.as_list();
  if (list != nullptr && other != nullptr && list->kind == other->kind &&
      (list->kind == ListKind::list || list->kind == ListKind::tuple)) {
    const std::size_t common = std::min(list->items.size(), other->items.size());
    for (std::size_t i = 0; i < common; ++i) {
      if (!equal(list->items[i], other->items[i], budget)) {
        return less(list->items[i], other->items[i], budget);
      }
    }
    return list->items.size() < other->items.size();
  }
  refuse_order(left, right);
}

const Value* find_key(const Dict& dict, const Value& key, Budget& budget) {
  budget.steps(1 + dict.entries.size() / 8);
  if (const std::string* text = key.as_text()) return dict.find(*text);
  if (!is_hashable(key)) throw Fault{fmt::format("unhashable type: '{}'", type_name(key))};
  for (const auto& [name, value] : dict.entries) {
    if (equal(name, key, budget)) return &value;
  }
  return nullptr;
}

bool contains(const Value& container, const Value& item, Budget& budget) {
  if (container.is_undefined()) return false;
  if (const std::string* text = container.as_text()) {
    const std::string* part = item.as_text();
    if (part == nullptr) {
      refuse_undefined(item);
      throw Fault{
          fmt::format("'in <string>' requires string as left operand, not {}", type_name(item))};
    }
    budget.scan(text->size());
    return text->find(*part) != std::string::npos;
  }
  if (const Dict* dict = container.as_dict()) return find_key(*dict, item, budget) != nullptr;
  if (container.as_list() != nullptr) {
    const std::vector<Value> items = items_of(container, budget);
    return std::any_of(items.begin(), items.end(),
                       [&](const Value& other) { return equal(other, item, budget); });
  }
  throw Fault{fmt::format("argument of type '{}' is not iterable", type_name(container))};
}

bool compare(Comparison comparison, const Value& left, const Value& right, Budget& budget) {
  switch (comparison) {
    case Comparison::equal:
      return equal(left, right, budget);
    case Comparison::unequal:
      return !equal(left, right, budget);
    case Comparison::less:
      return less(left, right, budget);
    case Comparison::less_equal:
      return less(left, right, budget) || equal(left, right, budget);
    case Comparison::greater:
      return less(right, left, budget);
    case Comparison::greater_equal:
      return less(right, left, budget) || equal(left, right, budget);
    case Comparison::in:
      return contains(right, left, budget);
    case Comparison::not_in:
      return !contains(right, left, budget);
  }
  return false;
}

}  // namespace gridmill::jinja
