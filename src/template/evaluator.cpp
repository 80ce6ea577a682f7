#include "template/evaluator.hpp"

#include <algorithm>

#include "template/containers.hpp"
#include "template/operators.hpp"
#include "template/printing.hpp"

namespace gridmill::jinja {

const Value* Scope::find(NameId name) const {
  for (const Scope* scope = this; scope != nullptr; scope = scope->parent) {
    for (const auto& [id, value] : scope->values) {
      if (id == name) return &value;
    }
  }
  return nullptr;
}

void Scope::set(NameId name, Value value) {
  for (auto& [id, old] : values) {
    if (id == name) {
      old = std::move(value);
      return;
    }
  }
  values.emplace_back(name, std::move(value));
}

Evaluator::Evaluator(const Names& names, const RenderLimits& limits, std::optional<LocalTime> now)
    : names_(names), limits_(limits), now_(now), budget_(limits) {
  const auto add = [&](std::string_view name, GlobalFunction function) {
    if (const NameId* id = names.find(name)) top_.set(*id, Value(Value::Data(function)));
  };
  add("raise_exception", GlobalFunction::raise_exception);
  add("namespace", GlobalFunction::make_namespace);
  add("range", GlobalFunction::range);
  add("dict", GlobalFunction::dict);
  if (now) add("strftime_now", GlobalFunction::strftime_now);
}

Value Evaluator::text(std::string text) {
  budget_.create(text.size() + sizeof(std::string));
  return Value::text(std::move(text));
}

Value Evaluator::list(std::vector<Value> items, ListKind kind) {
  budget_.create(sizeof(List) + items.size() * sizeof(Value));
  return make_list(std::move(items), kind);
}

std::string Evaluator::printed(const Value& value) { return jinja::printed(value, budget_); }

Value Evaluator::evaluate(const Expression& expression) {
  const DepthGuard guard(*this);
  const std::size_t before = std::exchange(at_, expression.at);
  Value value = std::visit([this](const auto& n) { return node(n); }, expression.node);
  at_ = before;  // a Fault leaves it where it was thrown
  return value;
}

Value Evaluator::evaluate_or(const ExpressionPtr& expression, Value otherwise) {
  return expression ? evaluate(*expression) : std::move(otherwise);
}

Value Evaluator::node(const Variable& node) {
  if (const Value* value = scope_->find(node.name)) return *value;
  return Value::undefined(fmt::format("'{}' is undefined", names_.text(node.name)));
}

Value Evaluator::node(const Sequence& node) {
  std::vector<Value> items;
  items.reserve(node.items.size());
  for (const ExpressionPtr& item : node.items) items.push_back(evaluate(*item));
  return list(std::move(items), node.kind);
}

Value Evaluator::node(const DictLiteral& node) {
  std::vector<std::pair<Value, Value>> entries;
  budget_.create(sizeof(Dict) + node.entries.size() * 2 * sizeof(Value));
  for (const auto& [key_expression, value_expression] : node.entries) {
    Value key = evaluate(*key_expression);
    if (key.as_dict() != nullptr || (key.as_list() != nullptr)) {
      throw Fault{fmt::format("unhashable type: '{}'", type_name(key))};
    }
    Value value = evaluate(*value_expression);
    const auto same = std::find_if(entries.begin(), entries.end(), [&](const auto& entry) {
      return equal(entry.first, key, budget_);
    });
    if (same != entries.end()) {
      same->second = std::move(value);
    } else {
      entries.emplace_back(std::move(key), std::move(value));
    }
  }
  return make_dict(std::move(entries));
}

Value Evaluator::node(const Attribute& node) {
  return attribute(evaluate(*node.object), node.name);
}

Value Evaluator::node(const Item& node) {
  const Value object = evaluate(*node.object);
  const Value key = evaluate(*node.key);
  refuse_undefined(object);
  const std::string* name = key.as_text();
  if (name != nullptr) {
    const Dict* dict = object.as_dict();
    if (dict == nullptr || find_key(*dict, key, budget_) == nullptr) {
      return attribute(object, *name);
    }
  }
  return item_of(object, key, budget_);
}

Value Evaluator::node(const Slice& node) {
  const Value object = evaluate(*node.object);
  const Value start = evaluate_or(node.start, Value::none());
  const Value stop = evaluate_or(node.stop, Value::none());
  const Value step = evaluate_or(node.step, Value::none());
  return slice_of(object, start, stop, step, budget_);
}

Arguments Evaluator::arguments(const ArgumentList& list) {
  Arguments result;
  for (const Argument& argument : list) {
    Value value = evaluate(*argument.value);
    if (argument.kind == ArgumentKind::list) {
      for (Value& item : items_of(value, budget_)) result.positional.push_back(std::move(item));
    } else if (argument.kind == ArgumentKind::dict) {
      if (value.as_dict() == nullptr) throw Fault{"argument after ** must be a mapping"};
      for (const auto& [key, member] : value.as_dict()->entries) {
        if (key.as_text() == nullptr) throw Fault{"keywords must be strings"};
        result.named.emplace_back(*key.as_text(), member);
      }
    } else if (argument.name.empty()) {
      result.positional.push_back(std::move(value));
    } else {
      result.named.emplace_back(argument.name, std::move(value));
    }
  }
  return result;
}

Value Evaluator::node(const Call& node) {
  const auto* attribute_node = std::get_if<Attribute>(&node.callee->node);
  if (attribute_node == nullptr) {
    const Value callee = evaluate(*node.callee);
    return call(callee, arguments(node.arguments));
  }
  const Value object = evaluate(*attribute_node->object);
  const std::size_t before = std::exchange(at_, node.callee->at);
  Value result;
  if (const auto* loop = object.get_if<const Loop*>()) {
    const auto owned = std::find_if(loops_.begin(), loops_.end(),
                                    [&](const auto& own) { return own.get() == *loop; });
    result = call_loop(**owned, attribute_node->name, arguments(node.arguments));
  } else if (const MethodEntry* method = find_method(type_name(object), attribute_node->name)) {
    const Arguments values = arguments(node.arguments);
    result = method->call(*this, object, values);
  } else {
    const Value callee = attribute(object, attribute_node->name);
    result = call(callee, arguments(node.arguments));
  }
  at_ = before;
  return result;
}

Value Evaluator::node(const FilterUse& node) {
  const Value subject = evaluate(*node.subject);
  const Arguments values = arguments(node.arguments);
  return node.filter->apply(*this, subject, values);
}

Value Evaluator::node(const TestUse& node) {
  const Value subject = evaluate(*node.subject);
  const Arguments values = arguments(node.arguments);
  return Value::boolean(node.test->holds(*this, subject, values) != node.negated);
}

Value Evaluator::node(const Negation& node) {
  return Value::boolean(!truth(evaluate(*node.operand)));
}

Value Evaluator::node(const Sign& node) {
  Value value = evaluate(*node.operand);
  if (node.minus) return negate(value);
  return negate(negate(value));
}

Value Evaluator::node(const Binary& node) {
  const Value left = evaluate(*node.left);
  const Value right = evaluate(*node.right);
  return calculate(node.op, left, right, budget_);
}

Value Evaluator::node(const ComparisonChain& node) {
  Value left = evaluate(*node.first);
  for (const auto& [comparison, expression] : node.rest) {
    Value right = evaluate(*expression);
    if (!compare(comparison, left, right, budget_)) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

Value Evaluator::node(const Logical& node) {
  Value left = evaluate(*node.left);
  return truth(left) == node.is_and ? evaluate(*node.right) : left;
}

Value Evaluator::node(const Conditional& node) {
  if (truth(evaluate(*node.condition))) return evaluate(*node.yes);
  if (node.no) return evaluate(*node.no);
  return Value::undefined(
      "the inline if-expression has no else section and its condition is false");
}

Value Evaluator::node(const Concatenation& node) {
  std::string joined;
  for (const ExpressionPtr& part : node.parts) print(evaluate(*part), joined, budget_);
  return Value::text(std::move(joined));
}

}  // namespace gridmill::jinja
