#include "template/parser.hpp"

#include <algorithm>
#include <initializer_list>
#include <string_view>

#include "gridmill/base/format.hpp"
#include "template/expression_parser.hpp"
#include "template/token_stream.hpp"

namespace gridmill::jinja {

namespace {

constexpr int kDeepestBlocks = 100;

class Parser {
 public:
  Parser(const Source& source, Names& names)
      : tokens_(source, tokenize(source)), names_(names), expressions_(tokens_, names) {}

  Body whole() {
    Body body = statements({});
    if (!tokens_.sees(TokenKind::end)) tokens_.fail_expected("a statement");
    return body;
  }

 private:
  using Ends = std::initializer_list<std::string_view>;

  /// Up to a block that begins with one of `ends`, whose begin is taken but not its name.
  Body statements(Ends ends) {
    if (++nesting_ > kDeepestBlocks) {
      tokens_.fail(tokens_.at(),
                   fmt::format("blocks are nested deeper than {} levels", kDeepestBlocks));
    }
    Body body;
    while (!tokens_.sees(TokenKind::end)) {
      const std::size_t at = tokens_.at();
      if (tokens_.sees(TokenKind::data)) {
        body.push_back({Data{tokens_.take().text}, at});
      } else if (tokens_.sees(TokenKind::print_begin)) {
        tokens_.take();
        ExpressionPtr value = expressions_.tuple(true);
        tokens_.expect(TokenKind::print_end, "'}}'");
        body.push_back({Print{std::move(value)}, at});
      } else {
        tokens_.expect(TokenKind::block_begin, "a block");
        const auto ends_here = [this](std::string_view name) { return tokens_.sees_name(name); };
        if (std::any_of(ends.begin(), ends.end(), ends_here)) {
          --nesting_;
          return body;
        }
        body.push_back(statement(at));
      }
    }
    if (ends.size() > 0) tokens_.fail_expected(fmt::format("{{% {} %}}", *(ends.end() - 1)));
    --nesting_;
    return body;
  }

  void end_block() { tokens_.expect(TokenKind::block_end, "'%}'"); }

  /// The statements of a block, its end tag included.
  Body body_until(std::string_view end) {
    end_block();
    Body body = statements({end});
    tokens_.take();
    end_block();
    return body;
  }

  Statement statement(std::size_t at) {
    const Token name = tokens_.peek();
    tokens_.expect_any_name();
    if (name.text == "if") return {if_block(), at};
    if (name.text == "for") return {for_block(), at};
    if (name.text == "set") return {set(at), at};
    if (name.text == "macro") return {macro(), at};
    if (name.text == "call") return {call_block(at), at};
    if (name.text == "filter") return {filter_block(), at};
    if (name.text == "generation") return {Group{body_until("endgeneration")}, at};
    if (name.text == "break" || name.text == "continue") {
      if (loops_ == 0) tokens_.fail(name.at, fmt::format("'{}' outside of a loop", name.text));
      end_block();
      return {name.text == "break" ? LoopControl::break_loop : LoopControl::continue_loop, at};
    }
    if (name.text.starts_with("end") || name.text == "else" || name.text == "elif") {
      tokens_.fail(name.at, fmt::format("unexpected '{}'", name.text));
    }
    tokens_.fail(name.at, fmt::format("unsupported: statement '{}'", name.text));
  }

  Statement::Node if_block() {
    If result;
    Branch branch{expressions_.tuple(false), {}};
    while (true) {
      end_block();
      branch.body = statements({"elif", "else", "endif"});
      const bool last = !branch.condition;
      result.branches.push_back(std::move(branch));
      if (tokens_.skip_name("endif")) break;
      if (last) tokens_.fail_expected("'endif'");
      branch = Branch{};
      if (tokens_.skip_name("elif")) {
        branch.condition = expressions_.tuple(false);
      } else {
        tokens_.expect_name("else");
      }
    }
    end_block();
    return result;
  }

  Statement::Node for_block() {
    For result;
    result.target = target();
    tokens_.expect_name("in");
    result.sequence = expressions_.tuple(false);
    if (tokens_.skip_name("if")) result.condition = expressions_.expression();
    if (tokens_.sees_name("recursive")) {
      tokens_.fail(tokens_.at(), "unsupported: a loop that is 'recursive'");
    }
    end_block();
    ++loops_;
    result.body = statements({"else", "endfor"});
    --loops_;
    if (tokens_.skip_name("else")) {
      end_block();
      result.otherwise = statements({"endfor"});
    }
    tokens_.take();
    end_block();
    return result;
  }

  Target target() {
    Target first = single_target();
    if (!tokens_.sees_symbol(",")) return first;
    Target result;
    result.parts.push_back(std::move(first));
    while (tokens_.skip_symbol(",")) {
      if (!tokens_.sees(TokenKind::name) || tokens_.sees_name("in")) break;
      result.parts.push_back(single_target());
    }
    return result;
  }

  Target single_target() {
    if (tokens_.skip_symbol("(")) {
      Target result = target();
      tokens_.expect_symbol(")");
      return result;
    }
    const std::size_t at = tokens_.at();
    const std::string name = tokens_.expect_any_name();
    for (const std::string_view reserved : {"true", "false", "none", "True", "False", "None"}) {
      if (name == reserved) tokens_.fail(at, fmt::format("'{}' cannot be assigned to", name));
    }
    return {.name = names_.id_of(name), .attribute = {}, .parts = {}};
  }

  Statement::Node set(std::size_t at) {
    Target place = target();
    if (place.parts.empty() && tokens_.skip_symbol(".")) {
      place.attribute = tokens_.expect_any_name();
    }
    if (tokens_.skip_symbol("=")) {
      ExpressionPtr value = expressions_.tuple(true);
      end_block();
      return Set{std::move(place), std::move(value)};
    }
    if (!place.parts.empty()) tokens_.fail(at, "a block cannot be assigned to a tuple");
    std::vector<FilterUse> filters;
    while (tokens_.skip_symbol("|")) filters.push_back(expressions_.filter(nullptr));
    return SetBlock{std::move(place), std::move(filters), without_loop("endset")};
  }

  /// A body in which break and continue would have to leave the block.
  Body without_loop(std::string_view end) {
    const int loops = std::exchange(loops_, 0);
    Body body = body_until(end);
    loops_ = loops;
    return body;
  }

  std::vector<Parameter> parameters() {
    std::vector<Parameter> result;
    tokens_.expect_symbol("(");
    while (!tokens_.skip_symbol(")")) {
      if (!result.empty()) tokens_.expect_symbol(",");
      Parameter parameter;
      parameter.text = tokens_.expect_any_name();
      parameter.name = names_.id_of(parameter.text);
      if (tokens_.skip_symbol("=")) parameter.otherwise = expressions_.expression();
      result.push_back(std::move(parameter));
    }
    return result;
  }

  Statement::Node macro() {
    MacroDefinition result;
    result.text = tokens_.expect_any_name();
    result.name = names_.id_of(result.text);
    result.parameters = parameters();
    result.body = without_loop("endmacro");
    return result;
  }

  Statement::Node call_block(std::size_t at) {
    CallBlock result;
    result.caller.text = "caller";
    result.caller.name = names_.id_of("caller");
    if (tokens_.sees_symbol("(")) result.caller.parameters = parameters();
    result.call = expressions_.unary();
    if (!std::holds_alternative<Call>(result.call->node)) {
      tokens_.fail(at, "'call' needs the call of a macro");
    }
    result.caller.body = without_loop("endcall");
    return result;
  }

  Statement::Node filter_block() {
    FilterBlock result;
    do {
      result.filters.push_back(expressions_.filter(nullptr));
    } while (tokens_.skip_symbol("|"));
    result.body = without_loop("endfilter");
    return result;
  }

  TokenStream tokens_;
  Names& names_;
  ExpressionParser expressions_;
  int nesting_ = 0;
  int loops_ = 0;
};

}  // namespace

Body parse_body(const Source& source, Names& names) { return Parser(source, names).whole(); }

}  // namespace gridmill::jinja
