#include <algorithm>
#include <optional>

#include "template/builtins.hpp"
#include "template/containers.hpp"
#include "template/evaluator.hpp"
#include "template/operators.hpp"
#include "template/printing.hpp"
#include "template/unicode_text.hpp"

namespace gridmill::jinja {

namespace {

/// Text without its case, for sorting and comparing as jinja2 does by default.
Value without_case(Evaluator& evaluator, const Value& value, bool case_sensitive) {
  const std::string* text = value.as_text();
  if (case_sensitive || text == nullptr) return value;
  return evaluator.text(to_lower(*text));
}

Value filter_length(Evaluator& evaluator, const Value& subject, const Arguments& arguments) {
  const Bound bound(arguments, {});
  return Value::integer(length_of(subject, evaluator.budget()));
}

Value filter_items(Evaluator& evaluator, const Value& subject, const Arguments& arguments) {
  const Bound bound(arguments, {});
  std::vector<Value> pairs;
  if (!subject.is_undefined()) {
    if (subject.as_dict() == nullptr) throw Fault{"Can only get item pairs from a mapping."};
    for (const auto& [key, value] : subject.as_dict()->entries) {
      pairs.push_back(evaluator.list({key, value}, ListKind::tuple));
    }
  }
  return evaluator.list(std::move(pairs), ListKind::once);
}

Value filter_list(Evaluator& evaluator, const Value& subject, const Arguments& arguments) {
  const Bound bound(arguments, {});
  return evaluator.list(items_of(subject, evaluator.budget()));
}

Value filter_default(Evaluator& /*evaluator*/, const Value& subject, const Arguments& arguments) {
  const Bound bound(arguments, {"default_value", "boolean"});
  const bool replace = subject.is_undefined() || (bound.truth(1, false) && !truth(subject));
  return replace ? bound.value(0, Value::text("")) : subject;
}

Value filter_join(Evaluator& evaluator, const Value& subject, const Arguments& arguments) {
  const Bound bound(arguments, {"d", "attribute"});
  const std::string separator =
      bound.get(0) == nullptr ? std::string() : evaluator.printed(*bound.get(0));
  std::string result;
  bool first = true;
  for (const Value& item : items_of(subject, evaluator.budget())) {
    if (!first) evaluator.budget().append(result, separator);
    first = false;
    const Value part = bound.get(1) == nullptr || bound.get(1)->is_none()
                           ? item
                           : evaluator.path(item, *bound.get(1));
    print(part, result, evaluator.budget());
  }
  return Value::text(std::move(result));
}

Value filter_first(Evaluator& evaluator, const Value& subject, const Arguments& arguments) {
  const Bound bound(arguments, {});
  const std::vector<Value> items = items_of(subject, evaluator.budget());
  return items.empty() ? Value::undefined("No first item, sequence was empty.") : items.front();
}

Value filter_last(Evaluator& evaluator, const Value& subject, const Arguments& arguments) {
  const Bound bound(arguments, {});
  if (const List* list = subject.as_list(); list != nullptr && list->kind == ListKind::once) {
    throw Fault{"'generator' object is not reversible"};
  }
  const std::vector<Value> items = items_of(subject, evaluator.budget());
  return items.empty() ? Value::undefined("No last item, sequence was empty.") : items.back();
}

Value filter_reverse(Evaluator& evaluator, const Value& subject, const Arguments& arguments) {
  const Bound bound(arguments, {});
  std::vector<Value> items = items_of(subject, evaluator.budget());
  std::reverse(items.begin(), items.end());
  if (subject.as_text() == nullptr) return evaluator.list(std::move(items), ListKind::once);
  std::string text;
  for (const Value& item : items) text += *item.as_text();
  return evaluator.text(std::move(text));
}

/// The values that `attribute` names (several with commas), or `item` itself; as a list, since
/// lists compare their items for equality first, which undefined values pass.
Value sort_key(Evaluator& evaluator, const Value& item, const Value* attribute,
               bool case_sensitive) {
  std::vector<Value> parts;
  if (attribute == nullptr || attribute->is_none()) {
    parts.push_back(without_case(evaluator, item, case_sensitive));
  } else if (const std::string* names = attribute->as_text()) {
    for (const std::string_view name : split_at(*names, ",", -1, false)) {
      const Value part = evaluator.path(item, Value::text(std::string(name)));
      parts.push_back(without_case(evaluator, part, case_sensitive));
    }
  } else {
    parts.push_back(without_case(evaluator, evaluator.path(item, *attribute), case_sensitive));
  }
  return evaluator.list(std::move(parts));
}

/// Stable, with a comparison that may throw.
void sort_pairs(std::vector<std::pair<Value, Value>>& keyed, bool reverse, Budget& budget) {
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    return reverse ? less(b.first, a.first, budget) : less(a.first, b.first, budget);
  });
}

Value filter_sort(Evaluator& evaluator, const Value& subject, const Arguments& arguments) {
  const Bound bound(arguments, {"reverse", "case_sensitive", "attribute"});
  std::vector<std::pair<Value, Value>> keyed;
  for (Value& item : items_of(subject, evaluator.budget())) {
    Value key = sort_key(evaluator, item, bound.get(2), bound.truth(1, false));
    keyed.emplace_back(std::move(key), std::move(item));
  }
  sort_pairs(keyed, bound.truth(0, false), evaluator.budget());
  std::vector<Value> sorted;
  for (auto& [key, item] : keyed) sorted.push_back(std::move(item));
  return evaluator.list(std::move(sorted));
}

Value filter_dictsort(Evaluator& evaluator, const Value& subject, const Arguments& arguments) {
  const Bound bound(arguments, {"case_sensitive", "by", "reverse"});
  if (subject.as_dict() == nullptr) {
    refuse_undefined(subject);
    throw Fault{fmt::format("'{}' object has no attribute 'items'", type_name(subject))};
  }
  const std::string by = bound.get(1) == nullptr ? "key" : bound.text(1);
  if (by != "key" && by != "value") throw Fault{"You can only sort by either \"key\" or \"value\""};
  std::vector<std::pair<Value, Value>> keyed;
  for (const auto& [key, value] : subject.as_dict()->entries) {
    keyed.emplace_back(without_case(evaluator, by == "key" ? key : value, bound.truth(0, false)),
                       evaluator.list({key, value}, ListKind::tuple));
  }
  sort_pairs(keyed, bound.truth(2, false), evaluator.budget());
  std::vector<Value> sorted;
  for (auto& [key, pair] : keyed) sorted.push_back(std::move(pair));
  return evaluator.list(std::move(sorted));
}

Value filter_unique(Evaluator& evaluator, const Value& subject, const Arguments& arguments) {
  const Bound bound(arguments, {"case_sensitive", "attribute"});
  std::vector<Value> seen;
  std::vector<Value> result;
  for (Value& item : items_of(subject, evaluator.budget())) {
    const bool by_attribute = bound.get(1) != nullptr && !bound.get(1)->is_none();
    Value key = without_case(evaluator, by_attribute ? evaluator.path(item, *bound.get(1)) : item,
                             bound.truth(0, false));
    if (key.as_list() != nullptr || key.as_dict() != nullptr) {
      throw Fault{fmt::format("unhashable type: '{}'", type_name(key))};
    }
    const bool is_new = std::none_of(seen.begin(), seen.end(), [&](const Value& other) {
      return equal(other, key, evaluator.budget());
    });
    if (!is_new) continue;
    seen.push_back(std::move(key));
    result.push_back(std::move(item));
  }
  return evaluator.list(std::move(result), ListKind::once);
}

/// Arguments behind the first `count` by position; those by name stay.
Arguments rest_of(const Arguments& arguments, std::size_t count) {
  Arguments rest = arguments;
  const auto taken = static_cast<std::ptrdiff_t>(std::min(count, rest.positional.size()));
  rest.positional.erase(rest.positional.begin(), rest.positional.begin() + taken);
  return rest;
}

const Test& named_test(const Value& name) {
  const std::string* text = name.as_text();
  const Test* test = text == nullptr ? nullptr : find_test(*text);
  if (test == nullptr) throw Fault{fmt::format("unsupported: test '{}'", text ? *text : "?")};
  return *test;
}

/// Lazy filters take what is false, such as none, for empty.
std::vector<Value> lazy_items_of(Evaluator& evaluator, const Value& subject) {
  if (!truth(subject)) return {};
  return items_of(subject, evaluator.budget());
}

struct Selection {
  bool by_attribute;
  bool wanted;
};

/// select, reject, selectattr, rejectattr.
Value selected(Evaluator& evaluator, const Value& subject, const Arguments& arguments,
               Selection selection) {
  const std::size_t first = selection.by_attribute ? 1 : 0;
  if (arguments.positional.size() < first) throw Fault{"argument 'attribute' is missing"};
  const Test* test =
      arguments.positional.size() > first ? &named_test(arguments.positional[first]) : nullptr;
  const Arguments rest = rest_of(arguments, first + 1);
  std::vector<Value> result;
  for (Value& item : lazy_items_of(evaluator, subject)) {
    const Value value =
        selection.by_attribute ? evaluator.path(item, arguments.positional[0]) : item;
    const bool holds = test != nullptr ? test->holds(evaluator, value, rest) : truth(value);
    if (holds == selection.wanted) result.push_back(std::move(item));
  }
  return evaluator.list(std::move(result), ListKind::once);
}

Value filter_select(Evaluator& evaluator, const Value& subject, const Arguments& arguments) {
  return selected(evaluator, subject, arguments, {.by_attribute = false, .wanted = true});
}
Value filter_reject(Evaluator& evaluator, const Value& subject, const Arguments& arguments) {
  return selected(evaluator, subject, arguments, {.by_attribute = false, .wanted = false});
}
Value filter_selectattr(Evaluator& evaluator, const Value& subject, const Arguments& arguments) {
  return selected(evaluator, subject, arguments, {.by_attribute = true, .wanted = true});
}
Value filter_rejectattr(Evaluator& evaluator, const Value& subject, const Arguments& arguments) {
  return selected(evaluator, subject, arguments, {.by_attribute = true, .wanted = false});
}

Value filter_map(Evaluator& evaluator, const Value& subject, const Arguments& arguments) {
  std::vector<Value> result;
  if (arguments.positional.empty()) {
    const Bound bound(arguments, {"attribute", "default"});
    for (const Value& item : lazy_items_of(evaluator, subject)) {
      Value value = evaluator.path(item, bound.required(0));
      if (value.is_undefined() && bound.get(1) != nullptr) value = *bound.get(1);
      result.push_back(std::move(value));
    }
  } else {
    const std::string* name = arguments.positional[0].as_text();
    const Filter* filter = name == nullptr ? nullptr : find_filter(*name);
    if (filter == nullptr) throw Fault{fmt::format("unsupported: filter '{}'", name ? *name : "?")};
    const Arguments rest = rest_of(arguments, 1);
    for (const Value& item : lazy_items_of(evaluator, subject)) {
      result.push_back(filter->apply(evaluator, item, rest));
    }
  }
  return evaluator.list(std::move(result), ListKind::once);
}

Value extreme(Evaluator& evaluator, const Value& subject, const Arguments& arguments,
              bool largest) {
  const Bound bound(arguments, {"case_sensitive", "attribute"});
  std::optional<std::pair<Value, Value>> best;
  for (Value& item : items_of(subject, evaluator.budget())) {
    const bool by_attribute = bound.get(1) != nullptr && !bound.get(1)->is_none();
    Value key = without_case(evaluator, by_attribute ? evaluator.path(item, *bound.get(1)) : item,
                             bound.truth(0, false));
    const bool better = !best || (largest ? less(best->first, key, evaluator.budget())
                                          : less(key, best->first, evaluator.budget()));
    if (better) best.emplace(std::move(key), std::move(item));
  }
  return best ? best->second : Value::undefined("No aggregated item, sequence was empty.");
}

Value filter_min(Evaluator& evaluator, const Value& subject, const Arguments& arguments) {
  return extreme(evaluator, subject, arguments, false);
}
Value filter_max(Evaluator& evaluator, const Value& subject, const Arguments& arguments) {
  return extreme(evaluator, subject, arguments, true);
}

constexpr Filter kFilters[] = {
    {"count", filter_length},      {"d", filter_default},     {"default", filter_default},
    {"dictsort", filter_dictsort}, {"first", filter_first},   {"items", filter_items},
    {"join", filter_join},         {"last", filter_last},     {"length", filter_length},
    {"list", filter_list},         {"map", filter_map},       {"max", filter_max},
    {"min", filter_min},           {"reject", filter_reject}, {"rejectattr", filter_rejectattr},
    {"reverse", filter_reverse},   {"select", filter_select}, {"selectattr", filter_selectattr},
    {"sort", filter_sort},         {"unique", filter_unique},
};

}  // namespace

const Filter* find_sequence_filter(std::string_view name) {
  const auto* const found = std::find_if(std::begin(kFilters), std::end(kFilters),
                                         [&](const Filter& f) { return f.name == name; });
  return found == std::end(kFilters) ? nullptr : found;
}

}  // namespace gridmill::jinja
