#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace gridmill::jinja {

class Value;
struct List;
struct Dict;
struct Namespace;
struct Macro;
struct Loop;
struct Method;

/// A name or an attribute that does not exist; prints as nothing and is false.
struct Undefined {
  std::shared_ptr<const std::string> why;  ///< for errors, e.g. "'name' is undefined"; may be null
};
struct None {
  friend bool operator==(None, None) = default;
};
/// An integer beyond 64 bits, as its decimal digits. It can be printed and compared, not calculated
/// with.
struct BigInteger {
  std::shared_ptr<const std::string> digits;
};
struct Text {
  std::shared_ptr<const std::string> utf8;  ///< well-formed
  bool safe = false;                        ///< passed the filter `safe`; see `add`
};
/// Functions that every template can call.
enum class GlobalFunction : std::uint8_t {
  raise_exception,
  strftime_now,
  make_namespace,
  range,
  dict
};

using Members = std::vector<std::pair<std::string, Value>>;

/// A value of a template, as Python would have it: what JSON can say, and what templates make.
///
/// Immutable but for namespaces and loops, which live as long as one rendering. Copies share.
class Value {
 public:
  using Data =
      std::variant<Undefined, None, bool, std::int64_t, BigInteger, double, Text,
                   std::shared_ptr<const List>, std::shared_ptr<const Dict>, Namespace*,
                   const Macro*, const Loop*, std::shared_ptr<const Method>, GlobalFunction>;

  Value() = default;
  explicit Value(Data data) : data_(std::move(data)) {}

  [[nodiscard]] static Value none() { return Value(Data(None{})); }
  [[nodiscard]] static Value boolean(bool value) { return Value(Data(value)); }
  [[nodiscard]] static Value integer(std::int64_t value) { return Value(Data(value)); }
  [[nodiscard]] static Value number(double value) { return Value(Data(value)); }
  /// @param utf8  well-formed UTF-8.
  [[nodiscard]] static Value text(std::string utf8);
  [[nodiscard]] static Value undefined(std::string why);
  [[nodiscard]] static Value list(std::vector<Value> items);
  /// A later member with the same name replaces an earlier one in its place.
  [[nodiscard]] static Value dict(Members members);
  /// Keeps the order of keys, the difference between 1 and 1.0, and integers of any size.
  /// @param where  names the source in messages.
  /// @throws FormatError if `json` is not JSON or nested deeper than 256 levels.
  [[nodiscard]] static Value from_json(std::string_view json, const std::string& where);

  [[nodiscard]] const Data& data() const { return data_; }
  template <typename T>
  [[nodiscard]] const T* get_if() const {
    return std::get_if<T>(&data_);
  }
  [[nodiscard]] bool is_undefined() const { return get_if<Undefined>() != nullptr; }
  [[nodiscard]] bool is_none() const { return get_if<None>() != nullptr; }
  /// Null if this is no text.
  [[nodiscard]] const std::string* as_text() const;
  [[nodiscard]] const List* as_list() const;
  [[nodiscard]] const Dict* as_dict() const;
  /// Levels of lists and dicts, 0 for everything else.
  [[nodiscard]] int depth() const;

 private:
  Data data_;
};

/// Deeper values are refused, which keeps every recursion over values within the stack.
inline constexpr int kDeepestValue = 300;

enum class ListKind : std::uint8_t {
  list,
  tuple,
  range,
  view,  ///< of a dict: has a length, no items by number
  once,  ///< what lazy filters give: can be iterated once
};

struct List {
  std::vector<Value> items;
  ListKind kind = ListKind::list;
  int depth = 1;
  mutable bool consumed = false;  ///< `once` only
};

struct Dict {
  std::vector<std::pair<Value, Value>> entries;  ///< in order of insertion; keys differ
  int depth = 1;

  /// Null if there is no such key.
  [[nodiscard]] const Value* find(std::string_view key) const;
};

}  // namespace gridmill::jinja
