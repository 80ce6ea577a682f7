#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "gridmill/template/value.hpp"
#include "template/builtins.hpp"
#include "template/operators.hpp"

namespace gridmill::jinja {

/// Names of a template are numbers, so that a scope compares integers.
using NameId = std::uint32_t;

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;

enum class ArgumentKind : std::uint8_t { one, list, dict };  ///< value, *value, **value

struct Argument {
  std::string name;  ///< empty = by position
  ExpressionPtr value;
  ArgumentKind kind = ArgumentKind::one;
};
using ArgumentList = std::vector<Argument>;

struct Literal {
  Value value;
};
struct Variable {
  NameId name;
};
struct Sequence {
  ListKind kind;
  std::vector<ExpressionPtr> items;
};
struct DictLiteral {
  std::vector<std::pair<ExpressionPtr, ExpressionPtr>> entries;
};
struct Attribute {
  ExpressionPtr object;
  std::string name;
};
struct Item {
  ExpressionPtr object;
  ExpressionPtr key;
};
struct Slice {
  ExpressionPtr object;
  ExpressionPtr start, stop, step;  ///< null = not given
};
struct Call {
  ExpressionPtr callee;
  ArgumentList arguments;
};
struct FilterUse {
  ExpressionPtr subject;  ///< null in a block that filters its body
  const Filter* filter;
  ArgumentList arguments;
};
struct TestUse {
  ExpressionPtr subject;
  const Test* test;
  ArgumentList arguments;
  bool negated;
};
struct Negation {
  ExpressionPtr operand;
};
struct Sign {
  ExpressionPtr operand;
  bool minus;
};
struct Binary {
  BinaryOperator op;
  ExpressionPtr left, right;
};
struct ComparisonChain {
  ExpressionPtr first;
  std::vector<std::pair<Comparison, ExpressionPtr>> rest;
};
struct Logical {
  bool is_and;
  ExpressionPtr left, right;
};
struct Conditional {
  ExpressionPtr condition, yes;
  ExpressionPtr no;  ///< null = undefined
};
struct Concatenation {
  std::vector<ExpressionPtr> parts;
};

struct Expression {
  using Node = std::variant<Literal, Variable, Sequence, DictLiteral, Attribute, Item, Slice, Call,
                            FilterUse, TestUse, Negation, Sign, Binary, ComparisonChain, Logical,
                            Conditional, Concatenation>;
  Node node;
  std::size_t at;  ///< byte in the source
  int depth = 1;   ///< of the tree; bounded, since evaluation and destruction recurse
};

struct Statement;
using Body = std::vector<Statement>;

/// Target of `set` and `for`: a name, an attribute of a namespace, or a tuple of targets.
struct Target {
  NameId name = 0;
  std::string attribute;      ///< empty = the name itself
  std::vector<Target> parts;  ///< not empty = a tuple
};

struct Data {
  std::string text;
};
struct Print {
  ExpressionPtr value;
};
struct Branch {
  ExpressionPtr condition;  ///< null = else
  Body body;
};
struct If {
  std::vector<Branch> branches;
};
struct For {
  Target target;
  ExpressionPtr sequence;
  ExpressionPtr condition;  ///< may be null
  Body body, otherwise;
};
struct Set {
  Target target;
  ExpressionPtr value;
};
/// `{% set name %}...{% endset %}`: the text of the body, through filters in order.
struct SetBlock {
  Target target;
  std::vector<FilterUse> filters;
  Body body;
};
struct Parameter {
  NameId name;
  std::string text;
  ExpressionPtr otherwise;  ///< null = undefined
};
struct MacroDefinition {
  NameId name;
  std::string text;
  std::vector<Parameter> parameters;
  Body body;
};
struct CallBlock {
  ExpressionPtr call;  ///< a Call
  MacroDefinition caller;
};
struct FilterBlock {
  std::vector<FilterUse> filters;
  Body body;
};
/// A body with a scope of its own: `{% generation %}`.
struct Group {
  Body body;
};
enum class LoopControl : std::uint8_t { break_loop, continue_loop };

struct Statement {
  using Node = std::variant<Data, Print, If, For, Set, SetBlock, MacroDefinition, CallBlock,
                            FilterBlock, Group, LoopControl>;
  Node node;
  std::size_t at;
};

}  // namespace gridmill::jinja
