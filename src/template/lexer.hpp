#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gridmill::jinja {

enum class TokenKind : std::uint8_t {
  data,  ///< text between tags
  print_begin,
  print_end,
  block_begin,
  block_end,
  name,
  text,
  integer,
  number,
  symbol,
  end,
};

struct Token {
  TokenKind kind;
  std::string text;  ///< data, name, symbol; of a text the value; of a number its digits
  std::size_t at;    ///< byte in the source
};

/// The source of a template with line ends as \n and without its last one.
class Source {
 public:
  /// @throws FormatError if `text` is not UTF-8 or longer than 4 MiB.
  Source(std::string_view text, std::string name);
  [[nodiscard]] const std::string& text() const { return text_; }
  /// "line 3, column 7"; a column counts characters.
  [[nodiscard]] std::string position(std::size_t at) const;
  /// @throws FormatError "NAME: line L, column C: MESSAGE"
  [[noreturn]] void fail(std::size_t at, const std::string& message) const;
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  std::string text_;
  std::string name_;
};

/// With trim_blocks and lstrip_blocks: a line end behind a block or comment goes, and so do blanks
/// between the beginning of a line and a block or comment. @throws FormatError
[[nodiscard]] std::vector<Token> tokenize(const Source& source);

}  // namespace gridmill::jinja
