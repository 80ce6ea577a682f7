#include <algorithm>

#include "template/builtins.hpp"
#include "template/evaluator.hpp"
#include "template/operators.hpp"
#include "template/printing.hpp"
#include "template/text_work.hpp"
#include "template/unicode_text.hpp"

namespace gridmill::jinja {

namespace {

/// str methods; `self` is a text.
const std::string& own(const Value& self) { return *self.as_text(); }

Value strip_sides(Evaluator& evaluator, const Value& self, const Arguments& arguments,
                  StripSides sides) {
  const Bound bound(arguments, {"chars"});
  if (bound.get(0) == nullptr || bound.get(0)->is_none()) {
    return evaluator.text(std::string(strip(own(self), sides)));
  }
  return Value::text(stripped(evaluator.budget(), own(self), sides, bound.text(0)));
}

Value text_strip(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  return strip_sides(evaluator, self, arguments, {});
}
Value text_lstrip(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  return strip_sides(evaluator, self, arguments, {.left = true, .right = false});
}
Value text_rstrip(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  return strip_sides(evaluator, self, arguments, {.left = false, .right = true});
}

Value list_of(Evaluator& evaluator, const std::vector<std::string_view>& parts) {
  std::vector<Value> items;
  items.reserve(parts.size());
  for (const std::string_view part : parts) items.push_back(evaluator.text(std::string(part)));
  return evaluator.list(std::move(items));
}

Value split(Evaluator& evaluator, const Value& self, const Arguments& arguments, bool from_right) {
  const Bound bound(arguments, {"sep", "maxsplit"});
  const std::int64_t most = bound.integer(1, -1);
  evaluator.budget().create(own(self).size());
  if (bound.get(0) == nullptr || bound.get(0)->is_none()) {
    return list_of(evaluator, split_at_space(own(self), most, from_right));
  }
  const std::string& separator = bound.text(0);
  if (separator.empty()) throw Fault{"empty separator"};
  return list_of(evaluator, split_at(own(self), separator, most, from_right));
}
Value text_split(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  return split(evaluator, self, arguments, false);
}
Value text_rsplit(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  return split(evaluator, self, arguments, true);
}

Value text_splitlines(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const Bound bound(arguments, {"keepends"});
  return list_of(evaluator, split_lines(own(self), bound.truth(0, false)));
}

/// A text, or any of a tuple of texts, at one end.
Value has_end(const Value& self, const Arguments& arguments, bool at_start) {
  const Bound bound(arguments, {at_start ? "prefix" : "suffix"});
  const auto matches = [&](const Value& part) {
    const std::string* text = part.as_text();
    if (text == nullptr) {
      refuse_undefined(part);
      throw Fault{fmt::format("{} first arg must be str or a tuple of str, not {}",
                              at_start ? "startswith" : "endswith", type_name(part))};
    }
    return at_start ? own(self).starts_with(*text) : own(self).ends_with(*text);
  };
  const List* tuple = bound.required(0).as_list();
  if (tuple == nullptr || tuple->kind != ListKind::tuple) {
    return Value::boolean(matches(bound.required(0)));
  }
  return Value::boolean(std::any_of(tuple->items.begin(), tuple->items.end(), matches));
}
Value text_startswith(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  evaluator.budget().steps(1);
  return has_end(self, arguments, true);
}
Value text_endswith(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  evaluator.budget().steps(1);
  return has_end(self, arguments, false);
}

Value text_replace(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const Bound bound(arguments, {"old", "new", "count"});
  return Value::text(
      replaced(evaluator.budget(), own(self), bound.text(0), bound.text(1), bound.integer(2, -1)));
}

Value text_upper(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const Bound bound(arguments, {});
  return evaluator.text(to_upper(own(self)));
}
Value text_lower(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const Bound bound(arguments, {});
  return evaluator.text(to_lower(own(self)));
}
Value text_title(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const Bound bound(arguments, {});
  return evaluator.text(title_method(own(self)));
}
Value text_capitalize(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const Bound bound(arguments, {});
  return evaluator.text(capitalize(own(self)));
}

Value found_at(Evaluator& evaluator, const Value& self, const Arguments& arguments,
               bool from_right) {
  const Bound bound(arguments, {"sub"});
  evaluator.budget().scan(own(self).size());
  const std::size_t at =
      from_right ? own(self).rfind(bound.text(0)) : own(self).find(bound.text(0));
  if (at == std::string::npos) return Value::integer(-1);
  return Value::integer(
      static_cast<std::int64_t>(character_count(std::string_view(own(self)).substr(0, at))));
}
Value text_find(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  return found_at(evaluator, self, arguments, false);
}
Value text_rfind(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  return found_at(evaluator, self, arguments, true);
}

Value text_count(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const Bound bound(arguments, {"sub"});
  evaluator.budget().scan(own(self).size());
  const std::string& part = bound.text(0);
  if (part.empty()) {
    return Value::integer(static_cast<std::int64_t>(character_count(own(self))) + 1);
  }
  std::int64_t count = 0;
  for (std::size_t at = own(self).find(part); at != std::string::npos;
       at = own(self).find(part, at + part.size())) {
    ++count;
  }
  return Value::integer(count);
}

Value text_join(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const Bound bound(arguments, {"iterable"});
  std::string result;
  bool first = true;
  for (const Value& item : items_of(bound.required(0), evaluator.budget())) {
    if (item.as_text() == nullptr) {
      throw Fault{fmt::format("sequence item: expected str instance, {} found", type_name(item))};
    }
    if (!first) evaluator.budget().append(result, own(self));
    first = false;
    evaluator.budget().append(result, *item.as_text());
  }
  return Value::text(std::move(result));
}

Value text_removeprefix(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const Bound bound(arguments, {"prefix"});
  if (!own(self).starts_with(bound.text(0))) return self;
  return evaluator.text(own(self).substr(bound.text(0).size()));
}
Value text_removesuffix(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const Bound bound(arguments, {"suffix"});
  if (!own(self).ends_with(bound.text(0))) return self;
  return evaluator.text(own(self).substr(0, own(self).size() - bound.text(0).size()));
}

Value text_isdigit(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const Bound bound(arguments, {});
  evaluator.budget().scan(own(self).size());
  const bool digits =
      std::all_of(own(self).begin(), own(self).end(), [](char c) { return c >= '0' && c <= '9'; });
  return Value::boolean(digits && !own(self).empty());
}

Value dict_get(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const Bound bound(arguments, {"key", "default"});
  if (const Value* found = find_key(*self.as_dict(), bound.required(0), evaluator.budget())) {
    return *found;
  }
  return bound.value(1, Value::none());
}
Value dict_items(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const Bound bound(arguments, {});
  std::vector<Value> pairs;
  for (const auto& [key, value] : self.as_dict()->entries) {
    pairs.push_back(evaluator.list({key, value}, ListKind::tuple));
  }
  return evaluator.list(std::move(pairs), ListKind::view);
}
Value dict_keys(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const Bound bound(arguments, {});
  return evaluator.list(items_of(self, evaluator.budget()), ListKind::view);
}
Value dict_values(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const Bound bound(arguments, {});
  std::vector<Value> values;
  for (const auto& [key, value] : self.as_dict()->entries) values.push_back(value);
  return evaluator.list(std::move(values), ListKind::view);
}
Value dict_copy(Evaluator& /*evaluator*/, const Value& self, const Arguments& arguments) {
  const Bound bound(arguments, {});
  return self;  // nothing can change it
}

Value list_index(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const Bound bound(arguments, {"value"});
  const std::vector<Value>& items = self.as_list()->items;
  const auto found = std::find_if(items.begin(), items.end(), [&](const Value& item) {
    return equal(item, bound.required(0), evaluator.budget());
  });
  if (found == items.end()) throw Fault{"value is not in list"};
  return Value::integer(found - items.begin());
}
Value list_count(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const Bound bound(arguments, {"value"});
  const std::vector<Value>& items = self.as_list()->items;
  return Value::integer(std::count_if(items.begin(), items.end(), [&](const Value& item) {
    return equal(item, bound.required(0), evaluator.budget());
  }));
}

/// As the sandbox that other renderers use.
Value refuse_change(Evaluator& /*evaluator*/, const Value& /*self*/,
                    const Arguments& /*arguments*/) {
  throw Fault{"a method that changes a list or dict is not allowed"};
}

constexpr MethodEntry kMethods[] = {
    {"str", "strip", text_strip},
    {"str", "split", text_split},
    {"str", "lstrip", text_lstrip},
    {"str", "rstrip", text_rstrip},
    {"str", "startswith", text_startswith},
    {"str", "endswith", text_endswith},
    {"str", "replace", text_replace},
    {"str", "rsplit", text_rsplit},
    {"str", "splitlines", text_splitlines},
    {"str", "upper", text_upper},
    {"str", "lower", text_lower},
    {"str", "title", text_title},
    {"str", "capitalize", text_capitalize},
    {"str", "find", text_find},
    {"str", "rfind", text_rfind},
    {"str", "count", text_count},
    {"str", "join", text_join},
    {"str", "removeprefix", text_removeprefix},
    {"str", "removesuffix", text_removesuffix},
    {"str", "isdigit", text_isdigit},
    {"dict", "get", dict_get},
    {"dict", "items", dict_items},
    {"dict", "keys", dict_keys},
    {"dict", "values", dict_values},
    {"dict", "copy", dict_copy},
    {"dict", "clear", refuse_change},
    {"dict", "pop", refuse_change},
    {"dict", "popitem", refuse_change},
    {"dict", "setdefault", refuse_change},
    {"dict", "update", refuse_change},
    {"list", "index", list_index},
    {"list", "count", list_count},
    {"tuple", "index", list_index},
    {"tuple", "count", list_count},
    {"list", "append", refuse_change},
    {"list", "clear", refuse_change},
    {"list", "extend", refuse_change},
    {"list", "insert", refuse_change},
    {"list", "pop", refuse_change},
    {"list", "remove", refuse_change},
    {"list", "reverse", refuse_change},
    {"list", "sort", refuse_change},
};

}  // namespace

const MethodEntry* find_method(std::string_view type, std::string_view name) {
  const auto* const found =
      std::find_if(std::begin(kMethods), std::end(kMethods),
                   [&](const MethodEntry& m) { return m.name == name && m.type == type; });
  return found == std::end(kMethods) ? nullptr : found;
}

bool is_known_method(std::string_view name) {
  return name == "cycle" || name == "changed" ||
         std::any_of(std::begin(kMethods), std::end(kMethods),
                     [&](const MethodEntry& m) { return m.name == name; });
}

}  // namespace gridmill::jinja
