#include "template/expression_parser.hpp"

#include <algorithm>
#include <cstdlib>
#include <optional>

#include "gridmill/base/format.hpp"
#include "template/literals.hpp"

namespace gridmill::jinja {

namespace {

/// Depth of an expression's tree, and of nested brackets: far beyond real templates, and far from
/// the end of the stack.
constexpr int kDeepestTree = 300;
constexpr int kDeepestNesting = 100;

int depth_of(const ExpressionPtr& expression) { return expression ? expression->depth : 0; }

int depth_of(const ArgumentList& arguments) {
  int depth = 0;
  for (const Argument& argument : arguments) depth = std::max(depth, depth_of(argument.value));
  return depth;
}

std::optional<Comparison> comparison_of(const Token& token) {
  if (token.kind != TokenKind::symbol) return std::nullopt;
  if (token.text == "==") return Comparison::equal;
  if (token.text == "!=") return Comparison::unequal;
  if (token.text == "<") return Comparison::less;
  if (token.text == "<=") return Comparison::less_equal;
  if (token.text == ">") return Comparison::greater;
  if (token.text == ">=") return Comparison::greater_equal;
  return std::nullopt;
}

struct NestingGuard {
  NestingGuard(int& nesting, TokenStream& tokens) : nesting_(nesting) {
    if (++nesting_ > kDeepestNesting) {
      tokens.fail(tokens.at(),
                  fmt::format("expressions are nested deeper than {} levels", kDeepestNesting));
    }
  }
  NestingGuard(const NestingGuard&) = delete;
  NestingGuard& operator=(const NestingGuard&) = delete;
  ~NestingGuard() { --nesting_; }

 private:
  int& nesting_;
};

}  // namespace

ExpressionPtr ExpressionParser::make(std::size_t at, Expression::Node node, int depth_below) {
  if (depth_below >= kDeepestTree) {
    tokens_.fail(at, fmt::format("an expression has more than {} operations in a row or nested",
                                 kDeepestTree));
  }
  return std::make_unique<Expression>(
      Expression{.node = std::move(node), .at = at, .depth = depth_below + 1});
}

ExpressionPtr ExpressionParser::expression() {
  const NestingGuard guard(nesting_, tokens_);
  ExpressionPtr yes = either();
  while (tokens_.sees_name("if")) {
    const std::size_t at = tokens_.take().at;
    ExpressionPtr condition = either();
    ExpressionPtr no;
    if (tokens_.skip_name("else")) no = expression();
    const int depth = std::max({depth_of(yes), depth_of(condition), depth_of(no)});
    yes = make(at, Conditional{std::move(condition), std::move(yes), std::move(no)}, depth);
  }
  return yes;
}

ExpressionPtr ExpressionParser::expression_without_if() {
  const NestingGuard guard(nesting_, tokens_);
  return either();
}

ExpressionPtr ExpressionParser::either() {
  ExpressionPtr left = both();
  while (tokens_.sees_name("or")) {
    const std::size_t at = tokens_.take().at;
    ExpressionPtr right = both();
    const int depth = std::max(depth_of(left), depth_of(right));
    left = make(at, Logical{false, std::move(left), std::move(right)}, depth);
  }
  return left;
}

ExpressionPtr ExpressionParser::both() {
  ExpressionPtr left = negation();
  while (tokens_.sees_name("and")) {
    const std::size_t at = tokens_.take().at;
    ExpressionPtr right = negation();
    const int depth = std::max(depth_of(left), depth_of(right));
    left = make(at, Logical{true, std::move(left), std::move(right)}, depth);
  }
  return left;
}

ExpressionPtr ExpressionParser::negation() {
  if (!tokens_.sees_name("not")) return comparison();
  const NestingGuard guard(nesting_, tokens_);
  const std::size_t at = tokens_.take().at;
  ExpressionPtr operand = negation();
  const int depth = depth_of(operand);
  return make(at, Negation{std::move(operand)}, depth);
}

ExpressionPtr ExpressionParser::comparison() {
  const std::size_t at = tokens_.at();
  ExpressionPtr first = sum();
  std::vector<std::pair<Comparison, ExpressionPtr>> rest;
  int depth = depth_of(first);
  while (true) {
    std::optional<Comparison> op = comparison_of(tokens_.peek());
    if (op) {
      tokens_.take();
    } else if (tokens_.skip_name("in")) {
      op = Comparison::in;
    } else if (tokens_.sees_name("not") && tokens_.sees_name("in", 1)) {
      tokens_.take();
      tokens_.take();
      op = Comparison::not_in;
    } else {
      break;
    }
    rest.emplace_back(*op, sum());
    depth = std::max(depth, depth_of(rest.back().second));
  }
  if (rest.empty()) return first;
  return make(at, ComparisonChain{std::move(first), std::move(rest)}, depth);
}

ExpressionPtr ExpressionParser::sum() {
  ExpressionPtr left = concatenation();
  while (tokens_.sees_symbol("+") || tokens_.sees_symbol("-")) {
    const Token op = tokens_.take();
    ExpressionPtr right = concatenation();
    const int depth = std::max(depth_of(left), depth_of(right));
    left = make(op.at,
                Binary{op.text == "+" ? BinaryOperator::add : BinaryOperator::subtract,
                       std::move(left), std::move(right)},
                depth);
  }
  return left;
}

ExpressionPtr ExpressionParser::concatenation() {
  const std::size_t at = tokens_.at();
  std::vector<ExpressionPtr> parts;
  parts.push_back(product());
  int depth = depth_of(parts.back());
  while (tokens_.skip_symbol("~")) {
    parts.push_back(product());
    depth = std::max(depth, depth_of(parts.back()));
  }
  if (parts.size() == 1) return std::move(parts.front());
  return make(at, Concatenation{std::move(parts)}, depth);
}

ExpressionPtr ExpressionParser::product() {
  const auto operator_here = [this]() -> std::optional<BinaryOperator> {
    if (tokens_.sees_symbol("*")) return BinaryOperator::multiply;
    if (tokens_.sees_symbol("/")) return BinaryOperator::divide;
    if (tokens_.sees_symbol("//")) return BinaryOperator::floor_divide;
    if (tokens_.sees_symbol("%")) return BinaryOperator::modulo;
    return std::nullopt;
  };
  ExpressionPtr left = power();
  while (const std::optional<BinaryOperator> op = operator_here()) {
    const std::size_t at = tokens_.take().at;
    ExpressionPtr right = power();
    const int depth = std::max(depth_of(left), depth_of(right));
    left = make(at, Binary{*op, std::move(left), std::move(right)}, depth);
  }
  return left;
}

ExpressionPtr ExpressionParser::power() {
  ExpressionPtr left = unary();
  while (tokens_.sees_symbol("**")) {
    const std::size_t at = tokens_.take().at;
    ExpressionPtr right = unary();
    const int depth = std::max(depth_of(left), depth_of(right));
    left = make(at, Binary{BinaryOperator::power, std::move(left), std::move(right)}, depth);
  }
  return left;
}

ExpressionPtr ExpressionParser::unary(bool with_filters) {
  const NestingGuard guard(nesting_, tokens_);
  ExpressionPtr node;
  if (tokens_.sees_symbol("-") || tokens_.sees_symbol("+")) {
    const Token sign = tokens_.take();
    ExpressionPtr operand = unary(false);
    const int depth = depth_of(operand);
    node = make(sign.at, Sign{std::move(operand), sign.text == "-"}, depth);
  } else {
    node = primary();
  }
  node = postfix(std::move(node));
  return with_filters ? filters_and_tests(std::move(node)) : std::move(node);
}

ExpressionPtr ExpressionParser::primary() {
  const Token token = tokens_.peek();
  const auto literal = [&](Value value) {
    tokens_.take();
    return make(token.at, Literal{std::move(value)}, 0);
  };
  switch (token.kind) {
    case TokenKind::name:
      if (token.text == "true" || token.text == "True") return literal(Value::boolean(true));
      if (token.text == "false" || token.text == "False") return literal(Value::boolean(false));
      if (token.text == "none" || token.text == "None") return literal(Value::none());
      tokens_.take();
      return make(token.at, Variable{names_.id_of(token.text)}, 0);
    case TokenKind::text: {
      std::string text;
      while (tokens_.sees(TokenKind::text)) text += tokens_.take().text;
      return make(token.at, Literal{Value::text(std::move(text))}, 0);
    }
    case TokenKind::integer: {
      std::optional<Value> value = integer_value(token.text);
      if (!value) tokens_.fail(token.at, "unsupported: an integer beyond 64 bits");
      return literal(std::move(*value));
    }
    case TokenKind::number:
      return literal(Value::number(std::strtod(token.text.c_str(), nullptr)));
    default:
      break;
  }
  if (tokens_.skip_symbol("(")) return parenthesis(token.at);
  if (tokens_.skip_symbol("[")) return list_literal(token.at);
  if (tokens_.skip_symbol("{")) return dict_literal(token.at);
  tokens_.fail_expected("an expression");
}

ExpressionPtr ExpressionParser::parenthesis(std::size_t at) {
  if (tokens_.skip_symbol(")")) return make(at, Sequence{ListKind::tuple, {}}, 0);
  ExpressionPtr inner = tuple(true);
  tokens_.expect_symbol(")");
  return inner;
}

ExpressionPtr ExpressionParser::tuple(bool with_if) {
  const std::size_t at = tokens_.at();
  const auto one = [&] { return with_if ? expression() : expression_without_if(); };
  ExpressionPtr first = one();
  if (!tokens_.sees_symbol(",")) return first;
  std::vector<ExpressionPtr> items;
  int depth = depth_of(first);
  items.push_back(std::move(first));
  while (tokens_.skip_symbol(",")) {
    const TokenKind kind = tokens_.peek().kind;
    if (kind == TokenKind::block_end || kind == TokenKind::print_end || tokens_.sees_symbol(")")) {
      break;
    }
    items.push_back(one());
    depth = std::max(depth, depth_of(items.back()));
  }
  return make(at, Sequence{ListKind::tuple, std::move(items)}, depth);
}

ExpressionPtr ExpressionParser::list_literal(std::size_t at) {
  std::vector<ExpressionPtr> items;
  int depth = 0;
  while (!tokens_.skip_symbol("]")) {
    if (!items.empty()) {
      tokens_.expect_symbol(",");
      if (tokens_.skip_symbol("]")) break;
    }
    items.push_back(expression());
    depth = std::max(depth, depth_of(items.back()));
  }
  return make(at, Sequence{ListKind::list, std::move(items)}, depth);
}

ExpressionPtr ExpressionParser::dict_literal(std::size_t at) {
  std::vector<std::pair<ExpressionPtr, ExpressionPtr>> entries;
  int depth = 0;
  while (!tokens_.skip_symbol("}")) {
    if (!entries.empty()) {
      tokens_.expect_symbol(",");
      if (tokens_.skip_symbol("}")) break;
    }
    ExpressionPtr key = expression();
    tokens_.expect_symbol(":");
    ExpressionPtr value = expression();
    depth = std::max({depth, depth_of(key), depth_of(value)});
    entries.emplace_back(std::move(key), std::move(value));
  }
  return make(at, DictLiteral{std::move(entries)}, depth);
}

ExpressionPtr ExpressionParser::postfix(ExpressionPtr object) {
  while (true) {
    const std::size_t at = tokens_.at();
    if (tokens_.skip_symbol(".")) {
      const int depth = depth_of(object);
      if (tokens_.sees(TokenKind::integer)) {
        std::optional<Value> index = integer_value(tokens_.take().text);
        if (!index) tokens_.fail(at, "unsupported: an integer beyond 64 bits");
        ExpressionPtr key = make(at, Literal{std::move(*index)}, 0);
        object = make(at, Item{std::move(object), std::move(key)}, std::max(depth, 1));
      } else {
        std::string name = tokens_.expect_any_name();
        object = make(at, Attribute{std::move(object), std::move(name)}, depth);
      }
    } else if (tokens_.skip_symbol("[")) {
      object = subscript(std::move(object), at);
    } else if (tokens_.sees_symbol("(")) {
      object = call(std::move(object), at);
    } else {
      return object;
    }
  }
}

ExpressionPtr ExpressionParser::subscript(ExpressionPtr object, std::size_t at) {
  ExpressionPtr parts[3];
  int colons = 0;
  int depth = depth_of(object);
  while (!tokens_.skip_symbol("]")) {
    if (tokens_.sees_symbol(",")) tokens_.fail(tokens_.at(), "unsupported: several items at once");
    if (tokens_.skip_symbol(":")) {
      if (++colons > 2) tokens_.fail(at, "a slice has at most two ':'");
      continue;
    }
    if (parts[colons]) tokens_.fail_expected("']'");
    parts[colons] = expression();
    depth = std::max(depth, depth_of(parts[colons]));
  }
  if (colons > 0) {
    return make(
        at, Slice{std::move(object), std::move(parts[0]), std::move(parts[1]), std::move(parts[2])},
        depth);
  }
  if (!parts[0]) tokens_.fail(at, "expected an expression between '[' and ']'");
  return make(at, Item{std::move(object), std::move(parts[0])}, depth);
}

ExpressionPtr ExpressionParser::call(ExpressionPtr callee, std::size_t at) {
  if (const auto* attribute = std::get_if<Attribute>(&callee->node)) {
    if (!is_known_method(attribute->name)) {
      tokens_.fail(callee->at, fmt::format("unsupported: method '{}'", attribute->name));
    }
  }
  ArgumentList arguments = call_arguments();
  const int depth = std::max(depth_of(callee), depth_of(arguments));
  return make(at, Call{std::move(callee), std::move(arguments)}, depth);
}

ArgumentList ExpressionParser::call_arguments() {
  ArgumentList arguments;
  tokens_.expect_symbol("(");
  while (!tokens_.skip_symbol(")")) {
    if (!arguments.empty()) {
      tokens_.expect_symbol(",");
      if (tokens_.skip_symbol(")")) break;
    }
    Argument argument;
    if (tokens_.skip_symbol("**")) {
      argument.kind = ArgumentKind::dict;
    } else if (tokens_.skip_symbol("*")) {
      argument.kind = ArgumentKind::list;
    } else if (tokens_.sees(TokenKind::name) && tokens_.sees_symbol("=", 1)) {
      argument.name = tokens_.take().text;
      tokens_.take();
    } else if (!arguments.empty() && !arguments.back().name.empty()) {
      tokens_.fail(tokens_.at(), "an argument by position follows one by name");
    }
    argument.value = expression();
    arguments.push_back(std::move(argument));
  }
  return arguments;
}

ExpressionPtr ExpressionParser::filters_and_tests(ExpressionPtr subject) {
  while (true) {
    const std::size_t at = tokens_.at();
    if (tokens_.skip_symbol("|")) {
      const int depth = depth_of(subject);
      FilterUse use = filter(std::move(subject));
      const int deepest = std::max(depth, depth_of(use.arguments));
      subject = make(at, std::move(use), deepest);
    } else if (tokens_.skip_name("is")) {
      subject = test(std::move(subject), at);
    } else if (tokens_.sees_symbol("(")) {
      subject = call(std::move(subject), at);
    } else {
      return subject;
    }
  }
}

FilterUse ExpressionParser::filter(ExpressionPtr subject) {
  const std::size_t at = tokens_.at();
  const std::string name = tokens_.expect_any_name();
  const Filter* found = find_filter(name);
  if (found == nullptr) tokens_.fail(at, fmt::format("unsupported: filter '{}'", name));
  ArgumentList arguments;
  if (tokens_.sees_symbol("(")) arguments = call_arguments();
  return {std::move(subject), found, std::move(arguments)};
}

ExpressionPtr ExpressionParser::test(ExpressionPtr subject, std::size_t at) {
  const bool negated = tokens_.skip_name("not");
  const std::size_t name_at = tokens_.at();
  const std::string name = tokens_.expect_any_name();
  const Test* found = find_test(name);
  if (found == nullptr) tokens_.fail(name_at, fmt::format("unsupported: test '{}'", name));
  ArgumentList arguments = test_arguments();
  const int depth = std::max(depth_of(subject), depth_of(arguments));
  return make(at, TestUse{std::move(subject), found, std::move(arguments), negated}, depth);
}

ArgumentList ExpressionParser::test_arguments() {
  ArgumentList arguments;
  if (tokens_.sees_symbol("(")) return call_arguments();
  const TokenKind kind = tokens_.peek().kind;
  const bool value = kind == TokenKind::name || kind == TokenKind::text ||
                     kind == TokenKind::integer || kind == TokenKind::number ||
                     tokens_.sees_symbol("[") || tokens_.sees_symbol("{");
  const bool goes_on = tokens_.sees_name("else") || tokens_.sees_name("or") ||
                       tokens_.sees_name("and") || tokens_.sees_name("if") ||
                       tokens_.sees_name("in") || tokens_.sees_name("not");
  if (tokens_.sees_name("is")) tokens_.fail(tokens_.at(), "tests with 'is' cannot be chained");
  if (value && !goes_on) {
    ExpressionPtr argument = primary();
    arguments.push_back({.name = {}, .value = postfix(std::move(argument))});
  }
  return arguments;
}

}  // namespace gridmill::jinja
