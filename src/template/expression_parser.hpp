#pragma once

#include <vector>

#include "template/names.hpp"
#include "template/syntax.hpp"
#include "template/token_stream.hpp"

namespace gridmill::jinja {

/// Parses expressions as jinja2 does, precedence for precedence. Every function throws FormatError.
class ExpressionParser {
 public:
  ExpressionParser(TokenStream& tokens, Names& names) : tokens_(tokens), names_(names) {}

  [[nodiscard]] ExpressionPtr expression();
  /// Without `a if b else c` at the top.
  [[nodiscard]] ExpressionPtr expression_without_if();
  /// One expression, or several with commas: a tuple.
  [[nodiscard]] ExpressionPtr tuple(bool with_if);
  /// A primary and what follows it: attributes, items, calls, filters and tests.
  [[nodiscard]] ExpressionPtr unary(bool with_filters = true);
  [[nodiscard]] ArgumentList call_arguments();
  /// `name(arguments)` after the bar; `subject` may be null.
  [[nodiscard]] FilterUse filter(ExpressionPtr subject);

 private:
  [[nodiscard]] ExpressionPtr either();
  [[nodiscard]] ExpressionPtr both();
  [[nodiscard]] ExpressionPtr negation();
  [[nodiscard]] ExpressionPtr comparison();
  [[nodiscard]] ExpressionPtr sum();
  [[nodiscard]] ExpressionPtr concatenation();
  [[nodiscard]] ExpressionPtr product();
  [[nodiscard]] ExpressionPtr power();
  [[nodiscard]] ExpressionPtr primary();
  [[nodiscard]] ExpressionPtr parenthesis(std::size_t at);
  [[nodiscard]] ExpressionPtr list_literal(std::size_t at);
  [[nodiscard]] ExpressionPtr dict_literal(std::size_t at);
  [[nodiscard]] ExpressionPtr postfix(ExpressionPtr object);
  [[nodiscard]] ExpressionPtr filters_and_tests(ExpressionPtr subject);
  [[nodiscard]] ExpressionPtr subscript(ExpressionPtr object, std::size_t at);
  [[nodiscard]] ExpressionPtr call(ExpressionPtr callee, std::size_t at);
  [[nodiscard]] ExpressionPtr test(ExpressionPtr subject, std::size_t at);
  [[nodiscard]] ArgumentList test_arguments();
  /// Makes an expression; refuses one whose tree is too deep.
  [[nodiscard]] ExpressionPtr make(std::size_t at, Expression::Node node, int depth_below);

  TokenStream& tokens_;
  Names& names_;
  int nesting_ = 0;
};

}  // namespace gridmill::jinja
