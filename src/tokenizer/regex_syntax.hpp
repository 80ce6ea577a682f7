#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace gridmill::tokenizer_detail {

/// A pattern in Oniguruma's syntax and the place that is read next.
struct PatternCursor {
  std::string_view pattern;
  const std::string& where;  ///< names the source in messages
  std::size_t at = 0;

  [[nodiscard]] bool at_end() const { return at == pattern.size(); }
  [[nodiscard]] bool follows(std::string_view text) const {
    return pattern.substr(at).starts_with(text);
  }
  /// The next `count` bytes, which are passed.
  std::string_view take(std::size_t count);
  /// @throws FormatError naming the construct.
  [[noreturn]] void refuse(std::string_view construct) const;
};

enum class EscapePlace { outside, inside_class };

/// Reads an escape, `\` and what follows, and writes it for PCRE2.
[[nodiscard]] std::string read_escape(PatternCursor& cursor, EscapePlace place);

/// Reads a class, `[` to `]`, with classes inside it and `&&`, which PCRE2 does not have, and
/// writes what matches one character of it.
[[nodiscard]] std::string read_class(PatternCursor& cursor);

}  // namespace gridmill::tokenizer_detail
