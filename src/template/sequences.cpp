#include <algorithm>

#include "template/containers.hpp"
#include "template/operators.hpp"
#include "template/printing.hpp"
#include "template/unicode_text.hpp"

namespace gridmill::jinja {

namespace {

std::optional<std::int64_t> bound(const Value& value) {
  if (value.is_none()) return std::nullopt;
  if (const std::optional<std::int64_t> integer = as_integer(value)) return integer;
  refuse_undefined(value);
  throw Fault{"slice indices must be integers or None"};
}

/// Python's slice.indices: positions begin, begin + step, ... before `end`.
struct Positions {
  std::int64_t begin;
  std::int64_t end;
  std::int64_t step;
};

Positions positions_of(std::int64_t length, const Value& start, const Value& stop,
                       const Value& step_value) {
  const std::int64_t step = bound(step_value).value_or(1);
  if (step == 0) throw Fault{"slice step cannot be zero"};
  const std::int64_t lowest = step > 0 ? 0 : -1;
  const std::int64_t highest = step > 0 ? length : length - 1;
  const auto place = [&](const std::optional<std::int64_t>& given, std::int64_t otherwise) {
    if (!given) return otherwise;
    const std::int64_t at = *given < 0 ? std::max(*given, -length - 1) + length : *given;
    return std::clamp(at, lowest, std::max(lowest, highest));
  };
  return {place(bound(start), step > 0 ? lowest : highest),
          place(bound(stop), step > 0 ? highest : lowest), step};
}

template <typename Take>
void for_each_position(const Positions& p, const Take& take) {
  for (std::int64_t at = p.begin; p.step > 0 ? at < p.end : at > p.end;) {
    take(at);
    if (__builtin_add_overflow(at, p.step, &at)) return;
  }
}

bool has_items_by_number(const List& list) {
  return list.kind == ListKind::list || list.kind == ListKind::tuple ||
         list.kind == ListKind::range;
}

Value missing_item(const Value& object, const Value& key) {
  if (const std::string* name = key.as_text()) {
    return Value::undefined(
        fmt::format("'{} object' has no attribute '{}'", type_name(object), *name));
  }
  if (const std::optional<std::int64_t> index = as_integer(key)) {
    return Value::undefined(fmt::format("{} object has no element {}", type_name(object), *index));
  }
  return Value::undefined(fmt::format("{} object has no such element", type_name(object)));
}

}  // namespace

std::int64_t length_of(const Value& value, Budget& budget) {
  if (const std::string* text = value.as_text()) {
    budget.scan(text->size());
    return static_cast<std::int64_t>(character_count(*text));
  }
  if (const Dict* dict = value.as_dict()) return static_cast<std::int64_t>(dict->entries.size());
  const List* list = value.as_list();
  if (list != nullptr && list->kind != ListKind::once) {
    return static_cast<std::int64_t>(list->items.size());
  }
  if (value.is_undefined()) return 0;
  throw Fault{fmt::format("object of type '{}' has no len()", type_name(value))};
}

std::vector<Value> items_of(const Value& value, Budget& budget) {
  std::vector<Value> items;
  if (const List* list = value.as_list()) {
    if (list->kind == ListKind::once && list->consumed) return items;
    if (list->kind == ListKind::once) list->consumed = true;  // others are shared between threads
    budget.create(list->items.size() * sizeof(Value));
    return list->items;
  }
  if (const Dict* dict = value.as_dict()) {
    budget.create(dict->entries.size() * sizeof(Value));
    for (const auto& [key, member] : dict->entries) items.push_back(key);
    return items;
  }
  if (const std::string* text = value.as_text()) {
    // A text on the heap of its own for each character.
    budget.create(text->size() * (sizeof(Value) + sizeof(std::string)));
    for (const std::string_view c : characters(*text)) items.push_back(Value::text(std::string(c)));
    return items;
  }
  if (value.is_undefined()) return items;
  throw Fault{fmt::format("'{}' object is not iterable", type_name(value))};
}

Value item_of(const Value& object, const Value& key, Budget& budget) {
  budget.steps(1);
  refuse_undefined(object);
  if (const Dict* dict = object.as_dict()) {
    if (key.as_list() == nullptr && key.as_dict() == nullptr) {
      if (const Value* found = find_key(*dict, key, budget)) return *found;
    }
    return missing_item(object, key);
  }
  const std::optional<std::int64_t> index = as_integer(key);
  const List* list = object.as_list();
  if (index && list != nullptr && has_items_by_number(*list)) {
    const auto length = static_cast<std::int64_t>(list->items.size());
    const std::int64_t at = *index < 0 ? *index + length : *index;
    if (at >= 0 && at < length) return list->items[static_cast<std::size_t>(at)];
  }
  if (const std::string* text = object.as_text(); index && text != nullptr) {
    budget.scan(text->size());
    const auto length = static_cast<std::int64_t>(character_count(*text));
    std::int64_t at = *index < 0 ? *index + length : *index;
    if (at >= 0 && at < length) {
      std::size_t begin = byte_of_character(*text, static_cast<std::uint64_t>(at));
      const std::size_t first = begin;
      static_cast<void>(next_character(*text, begin));
      return Value::text(text->substr(first, begin - first));
    }
  }
  return missing_item(object, key);
}

Value slice_of(const Value& object, const Value& start, const Value& stop, const Value& step,
               Budget& budget) {
  refuse_undefined(object);
  if (const List* list = object.as_list(); list != nullptr && has_items_by_number(*list)) {
    const Positions positions =
        positions_of(static_cast<std::int64_t>(list->items.size()), start, stop, step);
    budget.create(list->items.size() * sizeof(Value));
    std::vector<Value> items;
    for_each_position(positions, [&](std::int64_t at) {
      items.push_back(list->items[static_cast<std::size_t>(at)]);
    });
    return make_list(std::move(items), list->kind);
  }
  const std::string* text = object.as_text();
  if (text == nullptr) {
    throw Fault{fmt::format("'{}' object cannot be sliced", type_name(object))};
  }
  budget.create(text->size());
  const Positions positions =
      positions_of(static_cast<std::int64_t>(character_count(*text)), start, stop, step);
  if (positions.step == 1) {
    const std::size_t begin = byte_of_character(*text, static_cast<std::uint64_t>(positions.begin));
    const std::size_t end = byte_of_character(
        *text, static_cast<std::uint64_t>(std::max(positions.begin, positions.end)));
    return Value::text(text->substr(begin, end - begin));
  }
  budget.create(text->size() * sizeof(std::string_view));
  const std::vector<std::string_view> all = characters(*text);
  std::string result;
  for_each_position(positions,
                    [&](std::int64_t at) { result += all[static_cast<std::size_t>(at)]; });
  return Value::text(std::move(result));
}

}  // namespace gridmill::jinja
