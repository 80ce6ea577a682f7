#include <algorithm>
#include <charconv>

#include "template/clock_text.hpp"
#include "template/containers.hpp"
#include "template/evaluator.hpp"
#include "template/operators.hpp"
#include "template/printing.hpp"

namespace gridmill::jinja {

Value Evaluator::attribute(const Value& object, const std::string& name) {
  refuse_undefined(object);
  if (const auto* space = object.get_if<Namespace*>()) {
    for (const auto& [member, value] : (*space)->members) {
      if (member == name) return value;
    }
  } else if (const auto* loop = object.get_if<const Loop*>()) {
    return loop_attribute(**loop, name);
  } else if (const MethodEntry* method = find_method(type_name(object), name)) {
    budget_.create(sizeof(Method));
    return Value(Value::Data(std::make_shared<const Method>(Method{object, method})));
  } else if (object.as_dict() != nullptr) {
    return item_of(object, Value::text(name), budget_);
  }
  return Value::undefined(
      fmt::format("'{} object' has no attribute '{}'", type_name(object), name));
}

Value Evaluator::loop_attribute(const Loop& loop, const std::string& name) {
  const auto count = [](std::size_t value) {
    return Value::integer(static_cast<std::int64_t>(value));
  };
  if (name == "index0") return count(loop.index0);
  if (name == "index") return count(loop.index0 + 1);
  if (name == "first") return Value::boolean(loop.index0 == 0);
  if (name == "last") return Value::boolean(loop.index0 + 1 == loop.length);
  if (name == "length") return count(loop.length);
  if (name == "revindex") return count(loop.length - loop.index0);
  if (name == "revindex0") return count(loop.length - loop.index0 - 1);
  if (name == "depth0") return Value::integer(loop.depth0);
  if (name == "depth") return Value::integer(loop.depth0 + 1);
  if (name == "previtem") {
    if (loop.index0 == 0 || loop.index0 > loop.items.size()) {
      return Value::undefined("there is no previous item");
    }
    return loop.items[loop.index0 - 1];
  }
  if (name == "nextitem") {
    if (loop.index0 + 1 >= loop.items.size()) return Value::undefined("there is no next item");
    return loop.items[loop.index0 + 1];
  }
  return Value::undefined(fmt::format("'LoopContext object' has no attribute '{}'", name));
}

Value Evaluator::call_loop(Loop& loop, const std::string& name, const Arguments& arguments) {
  if (name == "cycle") {
    if (arguments.positional.empty()) throw Fault{"no items for cycling given"};
    return arguments.positional[loop.index0 % arguments.positional.size()];
  }
  if (name == "changed") {
    bool same = loop.last_changed && loop.last_changed->size() == arguments.positional.size();
    for (std::size_t i = 0; same && i < arguments.positional.size(); ++i) {
      same = equal((*loop.last_changed)[i], arguments.positional[i], budget_);
    }
    loop.last_changed = arguments.positional;
    return Value::boolean(!same);
  }
  return call(loop_attribute(loop, name), arguments);
}

Value Evaluator::call(const Value& callee, const Arguments& arguments) {
  refuse_undefined(callee);
  if (const auto* macro = callee.get_if<const Macro*>()) return call_macro(**macro, arguments);
  if (const auto* function = callee.get_if<GlobalFunction>()) {
    return call_global(*function, arguments);
  }
  if (const auto* method = callee.get_if<std::shared_ptr<const Method>>()) {
    return (*method)->entry->call(*this, (*method)->self, arguments);
  }
  throw Fault{fmt::format("'{}' object is not callable", type_name(callee))};
}

void Evaluator::bind(const Macro& macro, const Arguments& arguments) {
  const std::vector<Parameter>& parameters = macro.definition->parameters;
  if (arguments.positional.size() > parameters.size()) {
    throw Fault{fmt::format("macro '{}' takes not more than {} argument(s)", macro.definition->text,
                            parameters.size())};
  }
  std::vector<bool> given(parameters.size(), false);
  for (std::size_t i = 0; i < arguments.positional.size(); ++i) {
    scope_->set(parameters[i].name, arguments.positional[i]);
    given[i] = true;
  }
  for (const auto& [name, value] : arguments.named) {
    const auto parameter = std::find_if(parameters.begin(), parameters.end(),
                                        [&](const Parameter& p) { return p.text == name; });
    if (parameter == parameters.end()) {
      const NameId* caller = name == "caller" ? names_.find("caller") : nullptr;
      if (caller == nullptr) {
        throw Fault{
            fmt::format("macro '{}' takes no keyword argument '{}'", macro.definition->text, name)};
      }
      scope_->set(*caller, value);
      continue;
    }
    const auto place = static_cast<std::size_t>(parameter - parameters.begin());
    if (given[place]) {
      throw Fault{fmt::format("macro '{}' got several values for argument '{}'",
                              macro.definition->text, name)};
    }
    scope_->set(parameter->name, value);
    given[place] = true;
  }
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (given[i]) continue;
    scope_->set(parameters[i].name,
                evaluate_or(parameters[i].otherwise,
                            Value::undefined(fmt::format("parameter '{}' was not provided",
                                                         parameters[i].text))));
  }
}

Value Evaluator::call_macro(const Macro& macro, const Arguments& arguments) {
  const DepthGuard depth(*this);
  const std::size_t before = at_;
  const ScopeGuard scope(*this, macro.scope);
  bind(macro, arguments);
  std::string text;
  std::string* const outer = std::exchange(out_, &text);
  static_cast<void>(run_body(macro.definition->body));
  out_ = outer;
  at_ = before;
  return this->text(std::move(text));
}

Value Evaluator::call_global(GlobalFunction function, const Arguments& arguments) {
  switch (function) {
    case GlobalFunction::raise_exception: {
      const Bound bound(arguments, {"message"});
      throw Fault{printed(bound.required(0)), true};
    }
    case GlobalFunction::strftime_now: {
      const Bound bound(arguments, {"format"});
      return text(clock_text(*now_, bound.text(0)));
    }
    case GlobalFunction::make_namespace:
      return make_namespace(arguments);
    case GlobalFunction::range:
      return make_range(arguments);
    case GlobalFunction::dict:
      break;
  }
  DictBuilder dict;
  if (arguments.positional.size() > 1) throw Fault{"dict expected at most 1 argument"};
  for (const Value& base : arguments.positional) {
    if (base.as_dict() == nullptr) throw Fault{"dict() of this is not supported"};
    for (const auto& [key, value] : base.as_dict()->entries) {
      if (key.as_text() == nullptr) throw Fault{"dict() needs keys that are text"};
      dict.set(*key.as_text(), value);
    }
    budget_.create(base.as_dict()->entries.size() * 2 * sizeof(Value));
  }
  for (const auto& [name, value] : arguments.named) dict.set(name, value);
  budget_.create(sizeof(Dict) + arguments.named.size() * 2 * sizeof(Value));
  return std::move(dict).finish();
}

Value Evaluator::make_namespace(const Arguments& arguments) {
  if (arguments.positional.size() > 1) throw Fault{"namespace expected at most 1 argument"};
  auto space = std::make_unique<Namespace>();
  for (const Value& base : arguments.positional) {
    if (base.as_dict() == nullptr) throw Fault{"namespace() of this is not supported"};
    for (const auto& [key, value] : base.as_dict()->entries) {
      if (key.as_text() != nullptr) space->members.emplace_back(*key.as_text(), value);
    }
  }
  for (const auto& [name, value] : arguments.named) {
    const auto same = std::find_if(
        space->members.begin(), space->members.end(),
        [&, n = std::string_view(name)](const auto& member) { return member.first == n; });
    if (same != space->members.end()) space->members.erase(same);
    space->members.emplace_back(name, value);
  }
  budget_.create(sizeof(Namespace) + space->members.size() * sizeof(space->members[0]));
  namespaces_.push_back(std::move(space));
  return Value(Value::Data(namespaces_.back().get()));
}

Value Evaluator::make_range(const Arguments& arguments) {
  constexpr std::int64_t kLongest = 100'000;  // as jinja2's sandbox
  if (!arguments.named.empty() || arguments.positional.empty() || arguments.positional.size() > 3) {
    throw Fault{"range expected 1 to 3 arguments"};
  }
  std::vector<std::int64_t> numbers;
  for (const Value& value : arguments.positional) {
    refuse_undefined(value);
    const std::optional<std::int64_t> number = as_integer(value);
    if (!number) {
      throw Fault{fmt::format("'{}' object cannot be interpreted as an integer", type_name(value))};
    }
    numbers.push_back(*number);
  }
  const std::int64_t begin = numbers.size() == 1 ? 0 : numbers[0];
  const std::int64_t end = numbers.size() == 1 ? numbers[0] : numbers[1];
  const std::int64_t step = numbers.size() == 3 ? numbers[2] : 1;
  if (step == 0) throw Fault{"range() arg 3 must not be zero"};
  std::vector<Value> items;
  for (std::int64_t at = begin; step > 0 ? at < end : at > end;) {
    if (static_cast<std::int64_t>(items.size()) == kLongest) {
      throw Fault{fmt::format("range() longer than {} items", kLongest)};
    }
    items.push_back(Value::integer(at));
    if (__builtin_add_overflow(at, step, &at)) break;
  }
  return list(std::move(items), ListKind::range);
}

Value Evaluator::path(const Value& value, const Value& dotted) {
  if (dotted.as_text() == nullptr) return item_of(value, dotted, budget_);
  Value result = value;
  std::string_view rest = *dotted.as_text();
  while (true) {
    const std::size_t dot = rest.find('.');
    const std::string name(rest.substr(0, dot));
    std::int64_t index = 0;
    const auto number = std::from_chars(name.data(), name.data() + name.size(), index);
    const bool is_number = !name.empty() && name[0] != '-' && number.ec == std::errc() &&
                           number.ptr == name.data() + name.size();
    const Value key = is_number ? Value::integer(index) : Value::text(name);
    refuse_undefined(result);
    const Dict* dict = result.as_dict();
    const bool has_key = dict != nullptr && find_key(*dict, key, budget_) != nullptr;
    result = is_number || has_key ? item_of(result, key, budget_) : attribute(result, name);
    if (dot == std::string_view::npos) return result;
    rest = rest.substr(dot + 1);
  }
}

}  // namespace gridmill::jinja
