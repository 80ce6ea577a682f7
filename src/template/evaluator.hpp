#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gridmill/template/template.hpp"
#include "template/budget.hpp"
#include "template/builtins.hpp"
#include "template/names.hpp"
#include "template/syntax.hpp"

namespace gridmill::jinja {

/// Variables of a block. `set` writes to the innermost one, reading goes outwards.
struct Scope {
  Scope* parent = nullptr;
  std::vector<std::pair<NameId, Value>> values;
  bool kept = false;  ///< a macro was defined in it, which may be called later

  [[nodiscard]] const Value* find(NameId name) const;
  void set(NameId name, Value value);
};

struct Namespace {
  Members members;
};
struct Macro {
  const MacroDefinition* definition;
  Scope* scope;  ///< where it was defined
};
struct Loop {
  std::vector<Value> items;
  std::size_t length = 0;
  std::size_t index0 = 0;
  int depth0 = 0;
  std::optional<std::vector<Value>> last_changed;  ///< arguments of changed()
};
struct Method {
  Value self;
  const MethodEntry* entry;
};

/// One rendering of a program. Namespaces, macros and loops live as long as it does: values refer
/// to them by plain pointers, so that cycles among them need no care.
class Evaluator {
 public:
  Evaluator(const Names& names, const RenderLimits& limits, std::optional<LocalTime> now);
  Evaluator(const Evaluator&) = delete;
  Evaluator& operator=(const Evaluator&) = delete;

  void set_variable(NameId name, Value value) { top_.set(name, std::move(value)); }
  /// @throws Fault; at() is then where.
  [[nodiscard]] std::string run(const Body& body);
  /// The statement or expression that is being evaluated: a byte in the source.
  [[nodiscard]] std::size_t at() const { return at_; }

  /// For filters, tests and methods.
  [[nodiscard]] Budget& budget() { return budget_; }
  /// Charges for `text`, and makes it a value.
  [[nodiscard]] Value text(std::string text);
  [[nodiscard]] Value list(std::vector<Value> items, ListKind kind = ListKind::list);
  /// Printed text of `value`.
  [[nodiscard]] std::string printed(const Value& value);
  /// value.name as filters with `attribute=` have it: dots separate names, digits are indices.
  [[nodiscard]] Value path(const Value& value, const Value& dotted);

 private:
  enum class Flow : std::uint8_t { next, break_loop, continue_loop };
  class ScopeGuard;
  class DepthGuard;

  // statements.cpp
  Flow run_body(const Body& body);
  Flow run_statement(const Statement& statement);
  Flow run_if(const If& node);
  void run_for(const For& node);
  [[nodiscard]] std::vector<Value> loop_items(const For& node);
  void run_set_block(const SetBlock& node);
  void run_call_block(const CallBlock& node);
  void run_filter_block(const FilterBlock& node);
  void define(const MacroDefinition& node);
  [[nodiscard]] Value macro_value(const MacroDefinition& node);
  void assign(const Target& target, Value value);
  /// Output of `body`, in a scope of its own.
  [[nodiscard]] std::string captured(const Body& body);
  [[nodiscard]] Value filtered(const std::vector<FilterUse>& filters, Value value);
  void write(std::string_view text);

  // evaluator.cpp
  [[nodiscard]] Value evaluate(const Expression& expression);
  [[nodiscard]] Value evaluate_or(const ExpressionPtr& expression, Value otherwise);
  [[nodiscard]] Value node(const Literal& node) { return node.value; }
  [[nodiscard]] Value node(const Variable& node);
  [[nodiscard]] Value node(const Sequence& node);
  [[nodiscard]] Value node(const DictLiteral& node);
  [[nodiscard]] Value node(const Attribute& node);
  [[nodiscard]] Value node(const Item& node);
  [[nodiscard]] Value node(const Slice& node);
  [[nodiscard]] Value node(const Call& node);
  [[nodiscard]] Value node(const FilterUse& node);
  [[nodiscard]] Value node(const TestUse& node);
  [[nodiscard]] Value node(const Negation& node);
  [[nodiscard]] Value node(const Sign& node);
  [[nodiscard]] Value node(const Binary& node);
  [[nodiscard]] Value node(const ComparisonChain& node);
  [[nodiscard]] Value node(const Logical& node);
  [[nodiscard]] Value node(const Conditional& node);
  [[nodiscard]] Value node(const Concatenation& node);
  [[nodiscard]] Arguments arguments(const ArgumentList& list);

  // calls.cpp
  /// object.name: methods before keys. With `keys_first` object['name'].
  [[nodiscard]] Value attribute(const Value& object, const std::string& name);
  [[nodiscard]] Value loop_attribute(const Loop& loop, const std::string& name);
  [[nodiscard]] Value call(const Value& callee, const Arguments& arguments);
  [[nodiscard]] Value call_macro(const Macro& macro, const Arguments& arguments);
  void bind(const Macro& macro, const Arguments& arguments);
  [[nodiscard]] Value call_loop(Loop& loop, const std::string& name, const Arguments& arguments);
  [[nodiscard]] Value call_global(GlobalFunction function, const Arguments& arguments);
  [[nodiscard]] Value make_namespace(const Arguments& arguments);
  [[nodiscard]] Value make_range(const Arguments& arguments);

  const Names& names_;
  RenderLimits limits_;
  std::optional<LocalTime> now_;
  Budget budget_;
  Scope top_;
  Scope* scope_ = &top_;
  std::string* out_ = nullptr;
  std::size_t at_ = 0;
  int depth_ = 0;
  int loop_depth_ = 0;
  std::vector<std::unique_ptr<Scope>> kept_scopes_;
  std::vector<std::unique_ptr<Namespace>> namespaces_;
  std::vector<std::unique_ptr<Macro>> macros_;
  std::vector<std::unique_ptr<Loop>> loops_;
};

class Evaluator::DepthGuard {
 public:
  explicit DepthGuard(Evaluator& evaluator) : depth_(evaluator.depth_) {
    evaluator.budget_.steps(1);
    if (depth_ >= evaluator.limits_.depth) {
      throw Fault{
          fmt::format("the template is nested deeper than {} levels; does a macro call "
                      "itself without end?",
                      evaluator.limits_.depth)};
    }
    ++depth_;
  }
  DepthGuard(const DepthGuard&) = delete;
  DepthGuard& operator=(const DepthGuard&) = delete;
  ~DepthGuard() { --depth_; }

 private:
  int& depth_;
};

/// A new scope within `parent` while it lives.
class Evaluator::ScopeGuard {
 public:
  ScopeGuard(Evaluator& evaluator, Scope* parent)
      : evaluator_(evaluator), outer_(evaluator.scope_), scope_(std::make_unique<Scope>()) {
    scope_->parent = parent;
    evaluator.scope_ = scope_.get();
  }
  explicit ScopeGuard(Evaluator& evaluator) : ScopeGuard(evaluator, evaluator.scope_) {}
  ScopeGuard(const ScopeGuard&) = delete;
  ScopeGuard& operator=(const ScopeGuard&) = delete;
  ~ScopeGuard() {
    evaluator_.scope_ = outer_;
    if (scope_->kept) evaluator_.kept_scopes_.push_back(std::move(scope_));
  }

 private:
  Evaluator& evaluator_;
  Scope* outer_;
  std::unique_ptr<Scope> scope_;
};

}  // namespace gridmill::jinja
