#include <algorithm>

#include "template/containers.hpp"
#include "template/evaluator.hpp"
#include "template/operators.hpp"
#include "template/printing.hpp"

namespace gridmill::jinja {

std::string Evaluator::run(const Body& body) {
  std::string text;
  out_ = &text;
  static_cast<void>(run_body(body));
  out_ = nullptr;
  return text;
}

Evaluator::Flow Evaluator::run_body(const Body& body) {
  const DepthGuard guard(*this);
  for (const Statement& statement : body) {
    const Flow flow = run_statement(statement);
    if (flow != Flow::next) return flow;
  }
  return Flow::next;
}

Evaluator::Flow Evaluator::run_statement(const Statement& statement) {
  budget_.steps(1);
  at_ = statement.at;
  if (const auto* data = std::get_if<Data>(&statement.node)) {
    write(data->text);
  } else if (const auto* print_node = std::get_if<Print>(&statement.node)) {
    const Value value = evaluate(*print_node->value);
    if (const std::string* own = value.as_text()) {
      write(*own);
    } else {
      write(printed(value));
    }
  } else if (const auto* if_node = std::get_if<If>(&statement.node)) {
    return run_if(*if_node);
  } else if (const auto* for_node = std::get_if<For>(&statement.node)) {
    run_for(*for_node);
  } else if (const auto* set = std::get_if<Set>(&statement.node)) {
    assign(set->target, evaluate(*set->value));
  } else if (const auto* block = std::get_if<SetBlock>(&statement.node)) {
    run_set_block(*block);
  } else if (const auto* macro = std::get_if<MacroDefinition>(&statement.node)) {
    define(*macro);
  } else if (const auto* call_node = std::get_if<CallBlock>(&statement.node)) {
    run_call_block(*call_node);
  } else if (const auto* filter = std::get_if<FilterBlock>(&statement.node)) {
    run_filter_block(*filter);
  } else if (const auto* group = std::get_if<Group>(&statement.node)) {
    const ScopeGuard scope(*this);
    return run_body(group->body);
  } else if (const auto* control = std::get_if<LoopControl>(&statement.node)) {
    return *control == LoopControl::break_loop ? Flow::break_loop : Flow::continue_loop;
  }
  return Flow::next;
}

void Evaluator::write(std::string_view text) {
  budget_.scan(text.size());
  if (out_->size() + text.size() > limits_.output_bytes) {
    throw Fault{fmt::format("the text grows beyond {} bytes", limits_.output_bytes)};
  }
  *out_ += text;
}

Evaluator::Flow Evaluator::run_if(const If& node) {
  for (const Branch& branch : node.branches) {
    if (!branch.condition || truth(evaluate(*branch.condition))) return run_body(branch.body);
  }
  return Flow::next;
}

std::vector<Value> Evaluator::loop_items(const For& node) {
  std::vector<Value> items = items_of(evaluate(*node.sequence), budget_);
  if (!node.condition) return items;
  std::vector<Value> chosen;
  for (Value& item : items) {
    const ScopeGuard scope(*this);
    assign(node.target, item);
    if (truth(evaluate(*node.condition))) chosen.push_back(std::move(item));
  }
  return chosen;
}

void Evaluator::run_for(const For& node) {
  budget_.create(sizeof(Loop));
  auto loop = std::make_unique<Loop>();
  loop->items = loop_items(node);
  loop->length = loop->items.size();
  loop->depth0 = loop_depth_;
  Loop& current = *loop;
  loops_.push_back(std::move(loop));  // the body may keep it in a namespace
  if (current.items.empty()) {
    const ScopeGuard scope(*this);
    static_cast<void>(run_body(node.otherwise));
    return;
  }
  const NameId* loop_name = names_.find("loop");
  ++loop_depth_;
  for (; current.index0 < current.length; ++current.index0) {
    const ScopeGuard scope(*this);
    if (loop_name != nullptr) {
      scope_->set(*loop_name, Value(Value::Data(static_cast<const Loop*>(&current))));
    }
    assign(node.target, current.items[current.index0]);
    if (run_body(node.body) == Flow::break_loop) break;
  }
  --loop_depth_;
  current.items.clear();
}

void Evaluator::assign(const Target& target, Value value) {
  if (!target.parts.empty()) {
    const std::vector<Value> items = items_of(value, budget_);
    if (items.size() != target.parts.size()) {
      throw Fault{fmt::format("{} values for {} names", items.size(), target.parts.size())};
    }
    for (std::size_t i = 0; i < items.size(); ++i) assign(target.parts[i], items[i]);
    return;
  }
  if (target.attribute.empty()) {
    scope_->set(target.name, std::move(value));
    return;
  }
  const Value* owner = scope_->find(target.name);
  const auto* space = owner == nullptr ? nullptr : owner->get_if<Namespace*>();
  if (space == nullptr) {
    throw Fault{fmt::format("cannot assign attribute '{}': '{}' is no namespace", target.attribute,
                            names_.text(target.name))};
  }
  if (target.attribute.starts_with('_')) {
    throw Fault{fmt::format("attribute '{}' of a namespace is not allowed", target.attribute)};
  }
  Members& members = (*space)->members;
  const auto found = std::find_if(members.begin(), members.end(), [&](const auto& member) {
    return member.first == target.attribute;
  });
  if (found != members.end()) {
    found->second = std::move(value);
  } else {
    members.emplace_back(target.attribute, std::move(value));
  }
}

std::string Evaluator::captured(const Body& body) {
  const ScopeGuard scope(*this);
  std::string text;
  std::string* const outer = std::exchange(out_, &text);
  static_cast<void>(run_body(body));
  out_ = outer;
  budget_.create(text.size());
  return text;
}

Value Evaluator::filtered(const std::vector<FilterUse>& filters, Value value) {
  for (const FilterUse& use : filters) {
    const Arguments values = arguments(use.arguments);
    value = use.filter->apply(*this, value, values);
  }
  return value;
}

void Evaluator::run_set_block(const SetBlock& node) {
  assign(node.target, filtered(node.filters, Value::text(captured(node.body))));
}

void Evaluator::run_filter_block(const FilterBlock& node) {
  write(printed(filtered(node.filters, Value::text(captured(node.body)))));
}

Value Evaluator::macro_value(const MacroDefinition& node) {
  budget_.create(sizeof(Macro) + sizeof(Scope));
  for (Scope* scope = scope_; scope != nullptr; scope = scope->parent) scope->kept = true;
  macros_.push_back(std::make_unique<Macro>(Macro{&node, scope_}));
  return Value(Value::Data(static_cast<const Macro*>(macros_.back().get())));
}

void Evaluator::define(const MacroDefinition& node) { scope_->set(node.name, macro_value(node)); }

void Evaluator::run_call_block(const CallBlock& node) {
  const Call& call_node = std::get<Call>(node.call->node);
  const Value callee = evaluate(*call_node.callee);
  Arguments values = arguments(call_node.arguments);
  values.named.emplace_back("caller", macro_value(node.caller));
  write(printed(call(callee, values)));
}

}  // namespace gridmill::jinja
