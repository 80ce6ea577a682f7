#include <algorithm>

#include "template/builtins.hpp"
#include "template/evaluator.hpp"
#include "template/operators.hpp"
#include "template/printing.hpp"
#include "template/text_work.hpp"
#include "template/unicode_text.hpp"

namespace gridmill::jinja {

namespace {

Value filter_trim(Evaluator& evaluator, const Value& subject, const Arguments& arguments) {
  const Bound bound(arguments, {"chars"});
  const std::string text = evaluator.printed(subject);
  if (bound.get(0) == nullptr || bound.get(0)->is_none()) {
    return evaluator.text(std::string(strip(text)));
  }
  return evaluator.text(stripped(evaluator.budget(), text, {}, bound.text(0)));
}

Value filter_string(Evaluator& evaluator, const Value& subject, const Arguments& arguments) {
  const Bound bound(arguments, {});
  if (subject.as_text() != nullptr) return subject;
  return evaluator.text(evaluator.printed(subject));
}

Value filter_lower(Evaluator& evaluator, const Value& subject, const Arguments& arguments) {
  const Bound bound(arguments, {});
  return evaluator.text(to_lower(evaluator.printed(subject)));
}

Value filter_upper(Evaluator& evaluator, const Value& subject, const Arguments& arguments) {
  const Bound bound(arguments, {});
  return evaluator.text(to_upper(evaluator.printed(subject)));
}

Value filter_title(Evaluator& evaluator, const Value& subject, const Arguments& arguments) {
  const Bound bound(arguments, {});
  return evaluator.text(title_filter(evaluator.printed(subject)));
}

Value filter_capitalize(Evaluator& evaluator, const Value& subject, const Arguments& arguments) {
  const Bound bound(arguments, {});
  return evaluator.text(capitalize(evaluator.printed(subject)));
}

Value filter_replace(Evaluator& evaluator, const Value& subject, const Arguments& arguments) {
  const Bound bound(arguments, {"old", "new", "count"});
  const bool all = bound.get(2) == nullptr || bound.get(2)->is_none();
  const std::int64_t most = all ? -1 : bound.integer(2, -1);
  const std::string old_text = evaluator.printed(bound.required(0));
  const std::string new_text = evaluator.printed(bound.required(1));
  return Value::text(
      replaced(evaluator.budget(), evaluator.printed(subject), old_text, new_text, most));
}

/// `safe` marks a text, which matters for + only; see calculate().
Value filter_safe(Evaluator& evaluator, const Value& subject, const Arguments& arguments) {
  const Bound bound(arguments, {});
  return Value(
      Value::Data(Text{std::make_shared<const std::string>(evaluator.printed(subject)), true}));
}

Value filter_escape(Evaluator& evaluator, const Value& subject, const Arguments& arguments) {
  const Bound bound(arguments, {});
  const Text* text = subject.get_if<Text>();
  if (text != nullptr && text->safe) return subject;
  const std::string plain = evaluator.printed(subject);
  evaluator.budget().create(plain.size() * 5);
  return Value(Value::Data(Text{std::make_shared<const std::string>(escape_html(plain)), true}));
}

Value filter_indent(Evaluator& evaluator, const Value& subject, const Arguments& arguments) {
  const Bound bound(arguments, {"width", "first", "blank"});
  Budget& budget = evaluator.budget();
  std::string indent(4, ' ');
  if (bound.get(0) != nullptr && bound.get(0)->as_text() != nullptr) {
    indent = bound.text(0);
  } else if (bound.get(0) != nullptr) {
    const std::int64_t width = std::max<std::int64_t>(bound.integer(0, 4), 0);
    budget.create(static_cast<std::uint64_t>(width));
    indent.assign(static_cast<std::size_t>(width), ' ');
  }
  const bool first = bound.truth(1, false);
  const bool blank = bound.truth(2, false);
  if (subject.as_text() == nullptr) {
    refuse_undefined(subject);
    throw Fault{fmt::format("indent needs a text, not a {}", type_name(subject))};
  }
  const std::string& text = *subject.as_text();
  // As jinja2: a line end is added before splitting, so that a last one counts as a line.
  const std::string with_end = text + "\n";
  const std::vector<std::string_view> lines = split_lines(with_end, false);
  std::string result;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) budget.append(result, "\n");
    const bool wanted = i == 0 ? first : (blank || !lines[i].empty());
    if (wanted) budget.append(result, indent);
    budget.append(result, lines[i]);
  }
  return Value::text(std::move(result));
}

Value filter_tojson(Evaluator& evaluator, const Value& subject, const Arguments& arguments) {
  const Bound bound(arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ensure_ascii = bound.truth(0, false);
  style.sort_keys = bound.truth(3, false);
  const Value* indent = bound.get(1);
  if (indent != nullptr && !indent->is_none()) {
    style.multi_line = true;
    style.item_separator.assign(1, ',');
    if (const std::string* text = indent->as_text()) {
      style.indent = *text;
    } else {
      const std::int64_t width = std::max<std::int64_t>(bound.integer(1, 0), 0);
      evaluator.budget().create(static_cast<std::uint64_t>(width));
      style.indent.assign(static_cast<std::size_t>(width), ' ');
    }
  }
  if (bound.get(2) != nullptr && !bound.get(2)->is_none()) {
    const List* separators = bound.get(2)->as_list();
    const bool pair = separators != nullptr && separators->items.size() == 2 &&
                      separators->items[0].as_text() != nullptr &&
                      separators->items[1].as_text() != nullptr;
    if (!pair) throw Fault{"argument 'separators' must be two texts"};
    style.item_separator = *separators->items[0].as_text();
    style.key_separator = *separators->items[1].as_text();
  }
  return Value::text(json_text(subject, style, evaluator.budget()));
}

constexpr Filter kFilters[] = {
    {"capitalize", filter_capitalize},
    {"e", filter_escape},
    {"escape", filter_escape},
    {"indent", filter_indent},
    {"lower", filter_lower},
    {"replace", filter_replace},
    {"safe", filter_safe},
    {"string", filter_string},
    {"title", filter_title},
    {"tojson", filter_tojson},
    {"trim", filter_trim},
    {"upper", filter_upper},
};

}  // namespace

const Filter* find_text_filter(std::string_view name) {
  const auto* const found = std::find_if(std::begin(kFilters), std::end(kFilters),
                                         [&](const Filter& f) { return f.name == name; });
  return found == std::end(kFilters) ? nullptr : found;
}

}  // namespace gridmill::jinja
