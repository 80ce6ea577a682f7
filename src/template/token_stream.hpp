#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "template/lexer.hpp"

namespace gridmill::jinja {

/// Tokens with a place among them.
class TokenStream {
 public:
  TokenStream(const Source& source, std::vector<Token> tokens)
      : source_(source), tokens_(std::move(tokens)) {}

  [[nodiscard]] const Token& peek(std::size_t ahead = 0) const {
    const std::size_t last = tokens_.size() - 1;
    return tokens_[next_ + ahead < last ? next_ + ahead : last];
  }
  Token take() {
    const Token& token = peek();
    if (next_ + 1 < tokens_.size()) ++next_;
    return token;
  }
  [[nodiscard]] std::size_t at() const { return peek().at; }
  [[nodiscard]] bool sees(TokenKind kind) const { return peek().kind == kind; }
  [[nodiscard]] bool sees_symbol(std::string_view symbol, std::size_t ahead = 0) const {
    return peek(ahead).kind == TokenKind::symbol && peek(ahead).text == symbol;
  }
  [[nodiscard]] bool sees_name(std::string_view name, std::size_t ahead = 0) const {
    return peek(ahead).kind == TokenKind::name && peek(ahead).text == name;
  }
  bool skip_symbol(std::string_view symbol) { return sees_symbol(symbol) && (take(), true); }
  bool skip_name(std::string_view name) { return sees_name(name) && (take(), true); }

  /// These four throw FormatError at the next token.
  void expect_symbol(std::string_view symbol) {
    if (!skip_symbol(symbol)) fail_expected("'" + std::string(symbol) + "'");
  }
  void expect_name(std::string_view name) {
    if (!skip_name(name)) fail_expected("'" + std::string(name) + "'");
  }
  std::string expect_any_name() {
    if (!sees(TokenKind::name)) fail_expected("a name");
    return take().text;
  }
  void expect(TokenKind kind, const char* what) {
    if (!sees(kind)) fail_expected(what);
    take();
  }
  [[noreturn]] void fail_expected(const std::string& expected) const {
    source_.fail(at(), "expected " + expected + ", found " + shown(peek()));
  }
  [[noreturn]] void fail(std::size_t at, const std::string& message) const {
    source_.fail(at, message);
  }

 private:
  static std::string shown(const Token& token) {
    switch (token.kind) {
      case TokenKind::block_end:
        return "'%}'";
      case TokenKind::print_end:
        return "'}}'";
      case TokenKind::end:
        return "the end of the template";
      case TokenKind::text:
        return "a text";
      default:
        return "'" + token.text + "'";
    }
  }

  const Source& source_;
  std::vector<Token> tokens_;
  std::size_t next_ = 0;
};

}  // namespace gridmill::jinja
