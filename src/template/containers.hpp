#pragma once

#include <cstddef>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "gridmill/template/value.hpp"
#include "template/budget.hpp"

namespace gridmill::jinja {

/// @throws Fault beyond kDeepestValue.
inline void refuse_depth(int depth) {
  if (depth > kDeepestValue) {
    throw Fault{fmt::format("a value is nested deeper than {} levels", kDeepestValue)};
  }
}

/// @throws Fault if the list would be nested too deeply; so does make_dict.
[[nodiscard]] Value make_list(std::vector<Value> items, ListKind kind);
/// @param entries  with different keys.
[[nodiscard]] Value make_dict(std::vector<std::pair<Value, Value>> entries);

/// A dict with text keys in the making: constant time a member.
class DictBuilder {
 public:
  /// Replaces the value of a name that is there already.
  void set(const std::string& name, Value value);
  [[nodiscard]] Value finish() &&;

 private:
  std::vector<std::pair<Value, Value>> entries_;
  std::unordered_map<std::string, std::size_t> places_;
};

}  // namespace gridmill::jinja
