#include "gridmill/template/value.hpp"

#include <algorithm>
#include <unordered_map>

#include "template/containers.hpp"

namespace gridmill::jinja {

Value Value::text(std::string utf8) {
  return Value(Data(Text{std::make_shared<const std::string>(std::move(utf8))}));
}

Value Value::undefined(std::string why) {
  return Value(Data(Undefined{std::make_shared<const std::string>(std::move(why))}));
}

Value Value::list(std::vector<Value> items) { return make_list(std::move(items), ListKind::list); }

Value Value::dict(Members members) {
  DictBuilder dict;
  for (auto& [name, value] : members) dict.set(name, std::move(value));
  return std::move(dict).finish();
}

const std::string* Value::as_text() const {
  const Text* text = get_if<Text>();
  return text == nullptr ? nullptr : text->utf8.get();
}

const List* Value::as_list() const {
  const auto* list = get_if<std::shared_ptr<const List>>();
  return list == nullptr ? nullptr : list->get();
}

const Dict* Value::as_dict() const {
  const auto* dict = get_if<std::shared_ptr<const Dict>>();
  return dict == nullptr ? nullptr : dict->get();
}

int Value::depth() const {
  if (const List* list = as_list()) return list->depth;
  if (const Dict* dict = as_dict()) return dict->depth;
  return 0;
}

const Value* Dict::find(std::string_view key) const {
  for (const auto& [name, value] : entries) {
    const std::string* text = name.as_text();
    if (text != nullptr && *text == key) return &value;
  }
  return nullptr;
}

Value make_list(std::vector<Value> items, ListKind kind) {
  int deepest = 0;
  for (const Value& item : items) deepest = std::max(deepest, item.depth());
  refuse_depth(deepest + 1);
  auto list = std::make_shared<List>();
  list->items = std::move(items);
  list->kind = kind;
  list->depth = deepest + 1;
  return Value(Value::Data(std::shared_ptr<const List>(std::move(list))));
}

void DictBuilder::set(const std::string& name, Value value) {
  const auto [place, is_new] = places_.try_emplace(name, entries_.size());
  if (is_new) {
    entries_.emplace_back(Value::text(name), std::move(value));
  } else {
    entries_[place->second].second = std::move(value);
  }
}

Value DictBuilder::finish() && { return make_dict(std::move(entries_)); }

Value make_dict(std::vector<std::pair<Value, Value>> entries) {
  int deepest = 0;
  for (const auto& [key, value] : entries) {
    deepest = std::max({deepest, key.depth(), value.depth()});
  }
  refuse_depth(deepest + 1);
  auto dict = std::make_shared<Dict>();
  dict->entries = std::move(entries);
  dict->depth = deepest + 1;
  return Value(Value::Data(std::shared_ptr<const Dict>(std::move(dict))));
}

}  // namespace gridmill::jinja
