#include <string>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "tokenizer/regex_syntax.hpp"
#include "tokenizer/utf8_detail.hpp"

namespace gridmill::tokenizer_detail {
namespace {

constexpr int kDeepest = 16;  // classes inside classes; real patterns have two

/// A set of characters as PCRE2 can write it: members of one class, and alternatives beside it.
struct CharacterSet {
  std::string members;                    // between `[` and `]`
  std::vector<std::string> alternatives;  // each matches one character

  [[nodiscard]] bool empty() const { return members.empty() && alternatives.empty(); }

  void add(const CharacterSet& other) {
    members += other.members;
    alternatives.insert(alternatives.end(), other.alternatives.begin(), other.alternatives.end());
  }
  /// A pattern that matches one character of the set.
  [[nodiscard]] std::string matcher() const {
    if (alternatives.empty()) return fmt::format("[{}]", members);
    std::string text = "(?:";
    if (!members.empty()) text += fmt::format("[{}]|", members);
    for (std::size_t i = 0; i < alternatives.size(); ++i) {
      if (i > 0) text += '|';
      text += alternatives[i];
    }
    return text += ')';
  }
};

CharacterSet complement_of(const CharacterSet& set) {
  if (set.alternatives.empty())
    return {.members = "", .alternatives = {fmt::format("[^{}]", set.members)}};
  return {.members = "", .alternatives = {fmt::format("(?:(?!{})(?s:.))", set.matcher())}};
}

CharacterSet intersection_of(const CharacterSet& left, const CharacterSet& right) {
  return {.members = "",
          .alternatives = {fmt::format("(?:(?={}){})", left.matcher(), right.matcher())}};
}

class ClassReader {
 public:
  explicit ClassReader(PatternCursor& cursor) : cursor_(cursor) {}

  // From behind `[` to behind `]`.
  CharacterSet read(int depth) {
    if (depth > kDeepest) cursor_.refuse("deeply nested class");
    const bool negated = cursor_.follows("^");
    if (negated) cursor_.take(1);
    CharacterSet whole;
    bool has_operands = false;
    CharacterSet operand;
    const auto end_operand = [&] {
      if (operand.empty()) cursor_.refuse("empty side of && in a class");
      whole = has_operands ? intersection_of(whole, operand) : operand;
      has_operands = true;
      operand = {};
    };
    bool is_first = true;
    while (!cursor_.follows("]") || is_first) {
      if (cursor_.at_end()) cursor_.refuse("[ without ]");
      if (cursor_.follows("&&")) {
        cursor_.take(2);
        end_operand();
      } else if (cursor_.follows("[:")) {
        const std::size_t end = cursor_.pattern.find(":]", cursor_.at);
        if (end == std::string_view::npos) cursor_.refuse("[: without :]");
        operand.members += cursor_.take(end + 2 - cursor_.at);
      } else if (cursor_.follows("[")) {
        cursor_.take(1);
        operand.add(read(depth + 1));
      } else {
        operand.members += range();
      }
      is_first = false;
    }
    cursor_.take(1);
    end_operand();
    return negated ? complement_of(whole) : whole;
  }

 private:
  PatternCursor& cursor_;

  // A character, or a range of them.
  std::string range() {
    const std::string first = member();
    const bool is_range = cursor_.follows("-") && !cursor_.follows("-]") &&
                          !cursor_.follows("-[") && !cursor_.follows("-&&") && !is_set(first);
    if (!is_range) return first;
    cursor_.take(1);
    if (cursor_.at_end()) cursor_.refuse("[ without ]");
    const std::string last = member();
    if (is_set(last)) cursor_.refuse("range that ends with a set");
    return fmt::format("{}-{}", first, last);
  }

  std::string member() {
    if (cursor_.follows("\\")) return read_escape(cursor_, EscapePlace::inside_class);
    const Utf8Unit unit = next_utf8(cursor_.pattern, cursor_.at);
    const std::string_view character = cursor_.take(unit.length);
    // Written with a backslash, nothing of these has a meaning at any place of the class.
    const bool has_meaning = std::string_view("[]^-\\").find(character) != std::string_view::npos;
    return fmt::format("{}{}", has_meaning ? "\\" : "", character);
  }

  static bool is_set(const std::string& member) {
    return member.starts_with("\\p") || member.starts_with("\\P") || member == "\\d" ||
           member == "\\D" || member == "\\h" || member == "\\H";
  }
};

}  // namespace

std::string read_class(PatternCursor& cursor) {
  cursor.take(1);
  return ClassReader(cursor).read(0).matcher();
}

}  // namespace gridmill::tokenizer_detail
