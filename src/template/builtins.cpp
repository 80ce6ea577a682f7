#include "template/builtins.hpp"

#include <algorithm>

#include "template/budget.hpp"
#include "template/operators.hpp"
#include "template/printing.hpp"

namespace gridmill::jinja {

Bound::Bound(const Arguments& arguments, std::initializer_list<std::string_view> parameters)
    : values_(parameters.size(), nullptr), names_(parameters) {
  if (arguments.positional.size() > names_.size()) {
    throw Fault{fmt::format("{} arguments given, at most {} expected", arguments.positional.size(),
                            names_.size())};
  }
  for (std::size_t i = 0; i < arguments.positional.size(); ++i) {
    values_[i] = &arguments.positional[i];
  }
  for (const auto& [name, value] : arguments.named) {
    const auto found = std::find(names_.begin(), names_.end(), name);
    if (found == names_.end()) throw Fault{fmt::format("unexpected keyword argument '{}'", name)};
    const Value*& place = values_[static_cast<std::size_t>(found - names_.begin())];
    if (place != nullptr) throw Fault{fmt::format("several values for argument '{}'", name)};
    place = &value;
  }
}

Value Bound::value(std::size_t parameter, Value otherwise) const {
  return values_[parameter] != nullptr ? *values_[parameter] : std::move(otherwise);
}

const Value& Bound::required(std::size_t parameter) const {
  if (values_[parameter] == nullptr) {
    throw Fault{fmt::format("argument '{}' is missing", names_[parameter])};
  }
  return *values_[parameter];
}

bool Bound::truth(std::size_t parameter, bool otherwise) const {
  return values_[parameter] != nullptr ? jinja::truth(*values_[parameter]) : otherwise;
}

std::int64_t Bound::integer(std::size_t parameter, std::int64_t otherwise) const {
  if (values_[parameter] == nullptr) return otherwise;
  const std::optional<std::int64_t> value = as_integer(*values_[parameter]);
  if (!value) {
    refuse_undefined(*values_[parameter]);
    throw Fault{fmt::format("argument '{}' is a {}, expected an integer", names_[parameter],
                            type_name(*values_[parameter]))};
  }
  return *value;
}

const std::string& Bound::text(std::size_t parameter) const {
  const std::string* value = required(parameter).as_text();
  if (value == nullptr) {
    refuse_undefined(*values_[parameter]);
    throw Fault{fmt::format("argument '{}' is a {}, expected a text", names_[parameter],
                            type_name(*values_[parameter]))};
  }
  return *value;
}

const Filter* find_filter(std::string_view name) {
  if (const Filter* found = find_text_filter(name)) return found;
  if (const Filter* found = find_sequence_filter(name)) return found;
  return find_number_filter(name);
}

}  // namespace gridmill::jinja
