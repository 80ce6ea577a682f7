#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gridmill/template/value.hpp"

namespace gridmill::jinja {

class Evaluator;

/// Values of a call's arguments.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

/// Arguments by parameter. @throws Fault for too many, unknown or doubled ones.
class Bound {
 public:
  Bound(const Arguments& arguments, std::initializer_list<std::string_view> parameters);
  /// Null if it was not given.
  [[nodiscard]] const Value* get(std::size_t parameter) const { return values_[parameter]; }
  /// The argument, or `otherwise`.
  [[nodiscard]] Value value(std::size_t parameter, Value otherwise) const;
  /// @throws Fault if it was not given.
  [[nodiscard]] const Value& required(std::size_t parameter) const;
  [[nodiscard]] bool truth(std::size_t parameter, bool otherwise) const;
  /// @throws Fault if it is no integer, or no text.
  [[nodiscard]] std::int64_t integer(std::size_t parameter, std::int64_t otherwise) const;
  [[nodiscard]] const std::string& text(std::size_t parameter) const;

 private:
  std::vector<const Value*> values_;
  std::vector<std::string_view> names_;
};

struct Filter {
  std::string_view name;
  Value (*apply)(Evaluator&, const Value& subject, const Arguments&);
};
struct Test {
  std::string_view name;
  bool (*holds)(Evaluator&, const Value& subject, const Arguments&);
};
/// A method of texts, dicts or lists.
struct MethodEntry {
  std::string_view type;  ///< as type_name
  std::string_view name;
  Value (*call)(Evaluator&, const Value& self, const Arguments&);
};

/// Null if there is none; so do the other two.
[[nodiscard]] const Filter* find_filter(std::string_view name);
[[nodiscard]] const Test* find_test(std::string_view name);
[[nodiscard]] const MethodEntry* find_method(std::string_view type, std::string_view name);
/// Whether any type has such a method, or refuses it since it would change its value.
[[nodiscard]] bool is_known_method(std::string_view name);

/// The parts of the filter table.
[[nodiscard]] const Filter* find_text_filter(std::string_view name);
[[nodiscard]] const Filter* find_sequence_filter(std::string_view name);
[[nodiscard]] const Filter* find_number_filter(std::string_view name);

}  // namespace gridmill::jinja
