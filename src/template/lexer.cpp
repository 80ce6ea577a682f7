#include "template/lexer.hpp"

#include <algorithm>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "template/literals.hpp"
#include "template/unicode_text.hpp"

namespace gridmill::jinja {

namespace {

constexpr std::size_t kLongestSource = std::size_t{4} << 20;
/// Longest first.
constexpr std::string_view kSymbols[] = {"==", "!=", ">=", "<=", "//", "**", "+", "-", "/",
                                         "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                         ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool starts_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}

class Lexer {
 public:
  explicit Lexer(const Source& source) : source_(source), text_(source.text()) {}

  std::vector<Token> run() {
    while (at_ < text_.size()) {
      const std::size_t open = find_opener(at_);
      if (open == std::string_view::npos) {
        add(TokenKind::data, std::string(text_.substr(at_)), at_);
        at_ = text_.size();
        break;
      }
      const char kind = text_[open + 1];
      const char sign = open + 2 < text_.size() ? text_[open + 2] : '\0';
      add_data(open, kind, sign);
      at_ = open + 2 + (sign == '-' || sign == '+' ? 1 : 0);
      if (kind == '#') {
        skip_comment(open);
      } else {
        read_tag(open, kind == '%');
      }
    }
    add(TokenKind::end, "", text_.size());
    return std::move(tokens_);
  }

 private:
  void add(TokenKind kind, std::string text, std::size_t at) {
    tokens_.push_back({kind, std::move(text), at});
  }

  [[nodiscard]] std::size_t find_opener(std::size_t from) const {
    for (std::size_t at = text_.find('{', from); at != std::string_view::npos;
         at = text_.find('{', at + 1)) {
      const char next = at + 1 < text_.size() ? text_[at + 1] : '\0';
      if (next == '%' || next == '{' || next == '#') return at;
    }
    return std::string_view::npos;
  }

  void add_data(std::size_t open, char kind, char sign) {
    std::string_view data = text_.substr(at_, open - at_);
    if (sign == '-') {
      data = strip(data, {.left = false, .right = true});
    } else if (sign != '+' && kind != '{') {
      const std::size_t line = data.rfind('\n') + 1;  // 0 if there is none
      const bool at_line_start = line > 0 || at_ == 0 || text_[at_ - 1] == '\n';
      if (at_line_start && strip(data.substr(line)).empty()) data = data.substr(0, line);
    }
    if (!data.empty()) add(TokenKind::data, std::string(data), at_);
  }

  void skip_space() {
    while (at_ < text_.size()) {
      std::size_t next = at_;
      if (!is_space(next_character(text_, next))) break;
      at_ = next;
    }
  }

  void skip_comment(std::size_t open) {
    const std::size_t end = text_.find("#}", at_);
    if (end == std::string_view::npos) source_.fail(open, "this comment has no end '#}'");
    const char sign = end > at_ ? text_[end - 1] : '\0';
    at_ = end + 2;
    if (sign == '-') {
      skip_space();
    } else if (sign != '+') {
      skip_line_end();
    }
  }

  void skip_line_end() {
    if (at_ < text_.size() && text_[at_] == '\n') ++at_;
  }

  [[nodiscard]] bool sees(std::string_view text) const {
    return text_.substr(at_, text.size()) == text;
  }

  /// The end of the tag, if it is here.
  bool read_end(bool block) {
    const std::string_view close = block ? "%}" : "}}";
    const char sign = text_[at_];
    const bool signed_end =
        (sign == '-' || (block && sign == '+')) && text_.substr(at_ + 1, 2) == close;
    if (!signed_end && !sees(close)) return false;
    add(block ? TokenKind::block_end : TokenKind::print_end, "", at_);
    at_ += signed_end ? 3 : 2;
    if (signed_end && sign == '-') {
      skip_space();
    } else if (!signed_end && block) {
      skip_line_end();
    }
    return true;
  }

  void read_tag(std::size_t open, bool block) {
    add(block ? TokenKind::block_begin : TokenKind::print_begin, "", open);
    brackets_.clear();
    while (true) {
      skip_space();
      if (at_ >= text_.size()) source_.fail(open, "this tag has no end");
      if (brackets_.empty() && read_end(block)) return;
      read_token();
    }
  }

  void read_token() {
    const char c = text_[at_];
    if (c == '"' || c == '\'') {
      read_text(c);
    } else if (is_digit(c)) {
      read_number();
    } else if (starts_name(c)) {
      const std::size_t begin = at_;
      while (at_ < text_.size() && (starts_name(text_[at_]) || is_digit(text_[at_]))) ++at_;
      add(TokenKind::name, std::string(text_.substr(begin, at_ - begin)), begin);
    } else {
      read_symbol();
    }
  }

  void read_text(char quote) {
    const std::size_t begin = at_++;
    while (at_ < text_.size() && text_[at_] != quote) at_ += text_[at_] == '\\' ? 2 : 1;
    if (at_ >= text_.size()) source_.fail(begin, "this text has no closing quote");
    const std::optional<std::string> value = unescaped(text_.substr(begin + 1, at_ - begin - 1));
    if (!value) source_.fail(begin, "this text has an escape that is not valid");
    add(TokenKind::text, *value, begin);
    ++at_;
  }

  void read_number() {
    const bool after_dot = at_ > 0 && text_[at_ - 1] == '.';
    const NumberLiteral literal = number_literal(text_.substr(at_), !after_dot);
    add(literal.is_float ? TokenKind::number : TokenKind::integer, literal.digits, at_);
    at_ += literal.length;
  }

  void read_symbol() {
    for (const std::string_view symbol : kSymbols) {
      if (!sees(symbol)) continue;
      track_bracket(symbol[0]);
      add(TokenKind::symbol, std::string(symbol), at_);
      at_ += symbol.size();
      return;
    }
    source_.fail(at_, "unexpected character");
  }

  void track_bracket(char c) {
    if (c == '(' || c == '[' || c == '{') {
      brackets_ += c == '(' ? ')' : static_cast<char>(c + 2);
    } else if (c == ')' || c == ']' || c == '}') {
      if (brackets_.empty() || brackets_.back() != c) {
        source_.fail(at_, fmt::format("unexpected '{}'", c));
      }
      brackets_.pop_back();
    }
  }

  const Source& source_;
  std::string_view text_;
  std::size_t at_ = 0;
  std::string brackets_;  ///< closing ones that are due
  std::vector<Token> tokens_;
};

}  // namespace

Source::Source(std::string_view text, std::string name) : name_(std::move(name)) {
  if (text.size() > kLongestSource) {
    throw FormatError(fmt::format("{}: the template has {} bytes, the limit is {}", name_,
                                  text.size(), kLongestSource));
  }
  if (!is_well_formed(text)) throw FormatError(name_ + ": the template is not UTF-8");
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\r') {
      text_ += text[i];
    } else if (i + 1 >= text.size() || text[i + 1] != '\n') {
      text_ += '\n';
    }
  }
  if (text_.ends_with('\n')) text_.pop_back();
}

std::string Source::position(std::size_t at) const {
  const std::string_view before = std::string_view(text_).substr(0, at);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const std::size_t line_begin = before.rfind('\n') + 1;
  return fmt::format("line {}, column {}", line, 1 + character_count(before.substr(line_begin)));
}

void Source::fail(std::size_t at, const std::string& message) const {
  throw FormatError(fmt::format("{}: {}: {}", name_, position(at), message));
}

std::vector<Token> tokenize(const Source& source) { return Lexer(source).run(); }

}  // namespace gridmill::jinja
