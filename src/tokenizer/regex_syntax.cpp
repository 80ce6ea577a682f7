#include "tokenizer/regex_syntax.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "tokenizer/regex_detail.hpp"

namespace gridmill::tokenizer_detail {
namespace {

constexpr std::string_view kWordProperties = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";

/// Properties that both engines have under these names, besides scripts and categories of one or
/// two letters.
constexpr std::array<std::string_view, 10> kBinaryProperties = {
    "Any",         "Alphabetic",  "Uppercase", "Lowercase",
    "White_Space", "Ideographic", "Emoji",     "Extended_Pictographic",
    "Dash",        "Diacritic"};

/// Long names of categories, which PCRE2 does not have, and names of POSIX brackets.
constexpr std::array<std::pair<std::string_view, std::string_view>, 12> kLongNames = {{
    {"Letter", "L"},
    {"Mark", "M"},
    {"Number", "N"},
    {"Punctuation", "P"},
    {"Symbol", "S"},
    {"Separator", "Z"},
    {"Alpha", "Alphabetic"},
    {"Digit", "Nd"},
    {"Space", "White_Space"},
    {"Upper", "Uppercase"},
    {"Lower", "Lowercase"},
    {"Uppercase_Letter", "Lu"},
}};

// The name of a property for PCRE2. A script is the property Script, as Oniguruma has it; without
// a prefix PCRE2 would take Script_Extensions.
std::string property_name(PatternCursor& cursor, std::string_view name) {
  const bool negated = name.starts_with('^');
  if (negated) name.remove_prefix(1);
  const auto is_name = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == ' ' || c == '-';
  };
  if (name.empty() || !std::all_of(name.begin(), name.end(), is_name)) {
    cursor.refuse(fmt::format("\\p{{{}}}", std::string(name)));
  }
  std::string result(name);
  for (const auto& [known, ours] : kLongNames) {
    if (name == known) result = ours;
  }
  const bool is_binary = std::find(kBinaryProperties.begin(), kBinaryProperties.end(), result) !=
                         kBinaryProperties.end();
  if (result.size() > 2 && !is_binary) result.insert(0, "sc:");
  return negated ? "^" + result : result;
}

// \p{name} or \pL, \P alike.
std::string read_property(PatternCursor& cursor) {
  std::string result(cursor.take(2));
  if (!cursor.follows("{")) {
    if (cursor.at_end()) cursor.refuse("\\p at the end");
    return result += cursor.take(1);
  }
  const std::size_t end = cursor.pattern.find('}', cursor.at);
  if (end == std::string_view::npos) cursor.refuse("\\p{ without }");
  cursor.take(1);
  const std::string_view name = cursor.take(end - cursor.at);
  cursor.take(1);
  return fmt::format("{}{{{}}}", result, property_name(cursor, name));
}

class Translator {
 public:
  Translator(std::string_view pattern, const std::string& where)
      : cursor_{.pattern = pattern, .where = where} {}

  std::string run() {
    while (!cursor_.at_end()) {
      if (cursor_.follows("\\")) {
        result_ += read_escape(cursor_, EscapePlace::outside);
      } else if (cursor_.follows("[")) {
        result_ += read_class(cursor_);
      } else if (cursor_.follows("(*") || cursor_.follows("}+")) {
        // Verbs; {n,m}+ repeats in one engine, is possessive in the other.
        cursor_.refuse(cursor_.pattern.substr(cursor_.at, 2));
      } else if (cursor_.follows("(?")) {
        group();
      } else {
        result_ += cursor_.take(1);
      }
    }
    return std::move(result_);
  }

 private:
  PatternCursor cursor_;
  std::string result_;

  // Only groups that both engines read alike.
  void group() {
    for (const std::string_view opening :
         {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:", "(?i)", "(?-i:", "(?-i)"}) {
      if (cursor_.follows(opening)) {
        result_ += cursor_.take(opening.size());
        return;
      }
    }
    cursor_.refuse(cursor_.pattern.substr(cursor_.at, 3));
  }
};

}  // namespace

std::string_view PatternCursor::take(std::size_t count) {
  const std::string_view taken = pattern.substr(at, count);
  at += taken.size();
  return taken;
}

void PatternCursor::refuse(std::string_view construct) const {
  throw FormatError(fmt::format("{}: `{}` in the pattern {} is unsupported", where, construct,
                                std::string(pattern)));
}

std::string read_escape(PatternCursor& cursor, EscapePlace place) {
  const bool in_class = place == EscapePlace::inside_class;
  if (cursor.at + 1 == cursor.pattern.size()) cursor.refuse("\\ at the end");
  const char kind = cursor.pattern[cursor.at + 1];
  switch (kind) {
    case 's':
      cursor.take(2);
      return "\\p{White_Space}";
    case 'S':
      cursor.take(2);
      return "\\P{White_Space}";
    case 'w':
      cursor.take(2);
      return in_class ? std::string(kWordProperties) : fmt::format("[{}]", kWordProperties);
    case 'W':
      if (in_class) cursor.refuse("\\W inside a class");
      cursor.take(2);
      return fmt::format("[^{}]", kWordProperties);
    case 'p':
    case 'P':
      return read_property(cursor);
    case 'x': {
      std::string result(cursor.take(2));
      if (!cursor.follows("{")) {
        const auto is_digit = [](char c) {
          return std::isxdigit(static_cast<unsigned char>(c)) != 0;
        };
        while (result.size() < 4 && !cursor.at_end() && is_digit(cursor.pattern[cursor.at])) {
          result += cursor.take(1);
        }
        return result;
      }
      const std::size_t end = cursor.pattern.find('}', cursor.at);
      if (end == std::string_view::npos) cursor.refuse("\\x{ without }");
      return result += cursor.take(end + 1 - cursor.at);
    }
    case 'u':
      if (cursor.pattern.size() - cursor.at < 6) cursor.refuse("\\u without four digits");
      cursor.take(2);
      return fmt::format("\\x{{{}}}", cursor.take(4));
    default:
      // Other meanings in the two engines (\h is a hexadecimal digit in one, a blank in the
      // other), word borders that depend on \w, and what could leave the text's characters.
      if (std::string_view("bBCEGgHhKkNOQRXyY").find(kind) != std::string_view::npos) {
        cursor.refuse(cursor.pattern.substr(cursor.at, 2));
      }
      if (static_cast<unsigned char>(kind) >= 0x80) {
        cursor.take(1);  // a backslash before a character beyond ASCII means nothing
        return "";
      }
      return std::string(cursor.take(2));
  }
}

std::string to_pcre2_syntax(std::string_view pattern, const std::string& where) {
  return Translator(pattern, where).run();
}

}  // namespace gridmill::tokenizer_detail
