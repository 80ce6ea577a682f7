#include "gridmill/prompts/record_renderer.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/template/chat.hpp"
#include "gridmill/template/template.hpp"
#include "json_record.hpp"

namespace gridmill {

namespace {

using jinja::Dict;
using jinja::List;
using jinja::Members;
using jinja::Template;
using jinja::Value;

/// A reason why a record has no prompt.
struct Unusable {
  std::string reason;
};

/// fields.path: the whole name first, then names and positions between dots.
const Value* find_path(const Value& value, std::string_view path) {
  if (const Dict* dict = value.as_dict()) {
    if (const Value* found = dict->find(path)) return found;
  }
  const std::size_t dot = path.find('.');
  const std::string_view name = path.substr(0, dot);
  const Value* next = nullptr;
  if (const Dict* dict = value.as_dict()) {
    next = dict->find(name);
  } else if (const List* list = value.as_list()) {
    std::size_t index = 0;
    const auto number = std::from_chars(name.data(), name.data() + name.size(), index);
    const bool whole = number.ec == std::errc() && number.ptr == name.data() + name.size();
    if (whole && index < list->items.size()) next = &list->items[index];
  }
  if (next == nullptr || dot == std::string_view::npos) return next;
  return find_path(*next, path.substr(dot + 1));
}

/// A null field is as one that is not there.
const Value* given(const Value& record, std::string_view path) {
  const Value* value = find_path(record, path);
  return value == nullptr || value->is_none() ? nullptr : value;
}

Members members_of(const Value& dict) {
  Members members;
  for (const auto& [name, value] : dict.as_dict()->entries) {
    if (name.as_text() != nullptr) members.emplace_back(*name.as_text(), value);
  }
  return members;
}

/// NAME=VALUE; a value that is JSON is that, anything else a text.
std::pair<std::string, Value> variable_of(const std::string& assignment) {
  const std::size_t sign = assignment.find('=');
  const std::string text = assignment.substr(sign + 1);
  std::string name = assignment.substr(0, sign);
  if (text == "True" || text == "False") return {std::move(name), Value::boolean(text == "True")};
  if (text == "None") return {std::move(name), Value::none()};
  try {
    return {std::move(name), Value::from_json(text, "--template-vars")};
  } catch (const FormatError&) {
    return {assignment.substr(0, sign), Value::text(text)};
  }
}

Value message(const char* role, std::string content) {
  return Value::dict({{"role", Value::text(role)}, {"content", Value::text(std::move(content))}});
}

bool has_role(const Value& one, std::string_view role) {
  const Dict* dict = one.as_dict();
  const Value* found = dict == nullptr ? nullptr : dict->find("role");
  return found != nullptr && found->as_text() != nullptr && *found->as_text() == role;
}

/// Messages of a line of a --few-shot file: a message, {"messages"}, or {"prompt", "completion"}.
void add_shots(const Value& line, const std::string& messages_field, std::vector<Value>& shots) {
  const Value* messages = given(line, messages_field);
  const Value* prompt = given(line, "prompt");
  const Value* completion = given(line, "completion");
  if (given(line, "role") != nullptr) {
    shots.push_back(line);
  } else if (messages != nullptr && messages->as_list() != nullptr) {
    for (const Value& one : messages->as_list()->items) shots.push_back(one);
  } else if (prompt != nullptr && completion != nullptr && prompt->as_text() != nullptr &&
             completion->as_text() != nullptr) {
    shots.push_back(message("user", *prompt->as_text()));
    shots.push_back(message("assistant", *completion->as_text()));
  } else {
    throw FormatError(
        "--few-shot: a line holds no message (role, content), no messages, and no prompt and "
        "completion");
  }
}

std::vector<Value> lines_of(const std::string& jsonl) {
  std::vector<Value> lines;
  for (std::size_t begin = 0; begin < jsonl.size();) {
    const std::size_t end = std::min(jsonl.find('\n', begin), jsonl.size());
    const std::string line = jsonl.substr(begin, end - begin);
    begin = end + 1;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    lines.push_back(Value::from_json(line, "--few-shot"));
  }
  return lines;
}

/// Token ids of a list of them.
std::vector<TokenId> ids_of(const List& list, const std::string& where) {
  std::vector<TokenId> ids;
  for (const Value& item : list.items) {
    const auto* id = item.get_if<std::int64_t>();
    if (id == nullptr || *id < 0 || *id > std::numeric_limits<TokenId>::max()) {
      throw Unusable{where + " is a list of other things than token ids"};
    }
    ids.push_back(static_cast<TokenId>(*id));
  }
  return ids;
}

/// Messages of templates may hold anything; a reason is one line, and ends at a 0 byte.
std::string one_line(std::string reason) {
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; };
  std::replace_if(reason.begin(), reason.end(), is_control, ' ');
  return reason;
}

const char* kind_of(const Value& value) {
  if (value.as_dict() != nullptr) return "object";
  if (value.as_list() != nullptr) return "array";
  if (value.get_if<bool>() != nullptr) return "boolean";
  return value.is_none() ? "null" : "number";
}

/// A list of objects with a role, written as JSON: what a --template makes if it makes messages.
std::optional<Value> messages_in(const std::string& text) {
  if (text.find_first_not_of(" \t\r\n") == std::string::npos ||
      text[text.find_first_not_of(" \t\r\n")] != '[') {
    return std::nullopt;
  }
  try {
    Value value = Value::from_json(text, "");
    const List* list = value.as_list();
    if (list == nullptr || list->items.empty()) return std::nullopt;
    for (const Value& item : list->items) {
      if (item.as_dict() == nullptr || item.as_dict()->find("role") == nullptr) return std::nullopt;
    }
    return value;
  } catch (const FormatError&) {
    return std::nullopt;
  }
}

/// The field, which must be true or false if it is there.
std::optional<bool> switch_in(const Value& record, const char* name) {
  const Value* value = given(record, name);
  if (value == nullptr) return std::nullopt;
  if (value->get_if<bool>() == nullptr) {
    throw Unusable{fmt::format("field '{}' is a {}, expected true or false", name,
                               value->as_text() != nullptr ? "string" : kind_of(*value))};
  }
  return *value->get_if<bool>();
}

}  // namespace

struct RecordRenderer::Parts {
  PromptOptions options;
  std::string prompt_field;
  std::optional<Template> record_template;
  std::optional<Template> chat_template;
  std::optional<jinja::LocalTime> now;
  Members special_tokens;
  Members variables;
  std::vector<Value> shot_lines;
  std::vector<Value> shots;

  [[nodiscard]] RenderedPrompt of_messages(const Value& messages, const Value& record) const;
  [[nodiscard]] jinja::Chat chat_of(const Value& messages, const Value& record) const;
  [[nodiscard]] RenderedTurns turns_of(const Value& record, std::uint64_t number) const;
  [[nodiscard]] RenderedPrompt of_text(std::string text, const Value& record) const;
  [[nodiscard]] RenderedPrompt of_record(const Value& record, std::uint64_t number) const;
  [[nodiscard]] Value with_front(const Value& messages) const;
  [[nodiscard]] std::string from_template(const Value& record) const;
};

/// The system message and the few shots in front of a conversation.
Value RecordRenderer::Parts::with_front(const Value& messages) const {
  if ((options.system.empty() && shots.empty()) || messages.as_list() == nullptr) return messages;
  const std::vector<Value>& own = messages.as_list()->items;
  std::size_t behind_system = 0;
  while (behind_system < own.size() && has_role(own[behind_system], "system")) ++behind_system;
  std::vector<Value> all(own.begin(), own.begin() + static_cast<std::ptrdiff_t>(behind_system));
  if (all.empty() && !options.system.empty()) all.push_back(message("system", options.system));
  all.insert(all.end(), shots.begin(), shots.end());
  all.insert(all.end(), own.begin() + static_cast<std::ptrdiff_t>(behind_system), own.end());
  return Value::list(std::move(all));
}

jinja::Chat RecordRenderer::Parts::chat_of(const Value& messages, const Value& record) const {
  if (!chat_template) {
    throw Unusable{kNoChatTemplate};
  }
  jinja::Chat chat;
  chat.messages = with_front(messages);
  if (const Value* tools = given(record, "tools")) chat.tools = *tools;
  if (const Value* documents = given(record, "documents")) chat.documents = *documents;
  const Value* go_on = given(record, "continue_final_message");
  if (go_on != nullptr && go_on->as_text() != nullptr) {
    chat.continue_field = *go_on->as_text();
  } else if (switch_in(record, "continue_final_message").value_or(options.continue_final_message)) {
    chat.continue_field = "content";
  }
  chat.add_generation_prompt =
      switch_in(record, "add_generation_prompt").value_or(!chat.continue_field);
  chat.variables = special_tokens;
  chat.variables.insert(chat.variables.end(), variables.begin(), variables.end());
  for (const char* name : {"chat_template_kwargs", "variables"}) {
    const Value* own = given(record, name);
    if (own == nullptr) continue;
    if (own->as_dict() == nullptr) {
      throw Unusable{fmt::format("field '{}' is no object", name)};
    }
    for (auto& variable : members_of(*own)) chat.variables.push_back(std::move(variable));
  }
  return chat;
}

RenderedPrompt RecordRenderer::Parts::of_messages(const Value& messages,
                                                  const Value& record) const {
  const jinja::Chat chat = chat_of(messages, record);
  return {render_chat(*chat_template, chat, now), true,
          std::make_shared<const Value>(chat.messages), chat.continue_field.value_or("")};
}

/// Each turn is found by rendering the messages up to it: what transformers marks by a statement of
/// the template needs one that has it, and few have.
RenderedTurns RecordRenderer::Parts::turns_of(const Value& record, std::uint64_t number) const {
  const Value* messages = given(record, options.messages_field);
  if (messages == nullptr || messages->as_list() == nullptr) {
    throw Unusable{
        fmt::format("line {} has no messages in field '{}'", number, options.messages_field)};
  }
  jinja::Chat chat = chat_of(*messages, record);
  chat.continue_field.reset();
  const std::vector<Value> all = chat.messages.as_list()->items;
  const auto render_first = [&](std::size_t count, bool answer) {
    chat.messages = Value::list(
        std::vector<Value>(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count)));
    chat.add_generation_prompt = answer;
    return render_chat(*chat_template, chat, now);
  };
  RenderedTurns rendered{render_first(all.size(), false), {}};
  // Messages in front of the record's own come before the last of them.
  const std::size_t own = messages->as_list()->items.size();
  for (std::size_t i = all.size() - std::min(own, all.size()); i < all.size(); ++i) {
    if (!has_role(all[i], "assistant")) continue;
    const std::string before = render_first(i, true);
    const std::string after = render_first(i + 1, false);
    if (!rendered.text.starts_with(before) || !rendered.text.starts_with(after) ||
        after.size() < before.size()) {
      throw Unusable{
          "the chat template writes a turn in another way when messages follow it: where the "
          "assistant speaks cannot be told"};
    }
    rendered.turns.emplace_back(before.size(), after.size());
  }
  if (rendered.turns.empty()) throw Unusable{"the messages have no turn of the assistant"};
  return rendered;
}

/// A text is the user's message where a chat has been asked for.
RenderedPrompt RecordRenderer::Parts::of_text(std::string text, const Value& record) const {
  const bool shots_in_template =
      record_template.has_value() && record_template->mentions("few_shot");
  if (options.system.empty() && (shots.empty() || shots_in_template)) {
    return {std::move(text), false};
  }
  return of_messages(Value::list({message("user", std::move(text))}), record);
}

std::string RecordRenderer::Parts::from_template(const Value& record) const {
  Members all = special_tokens;
  all.insert(all.end(), variables.begin(), variables.end());
  for (auto& member : members_of(record)) all.push_back(std::move(member));
  all.emplace_back("record", record);
  all.emplace_back("few_shot", Value::list(shot_lines));
  return record_template->render(all, now);
}

RenderedPrompt RecordRenderer::Parts::of_record(const Value& record, std::uint64_t number) const {
  if (record_template) {
    std::string text = from_template(record);
    if (const std::optional<Value> messages = messages_in(text)) {
      return of_messages(*messages, record);
    }
    return of_text(std::move(text), record);
  }
  const Value* prompt = find_path(record, prompt_field);
  const Value* messages = given(record, options.messages_field);
  const bool no_prompt = prompt == nullptr || (prompt->is_none() && messages != nullptr);
  if (no_prompt && messages != nullptr) return of_messages(*messages, record);
  if (no_prompt) throw Unusable{fmt::format("line {} has no field '{}'", number, prompt_field)};
  const std::string where = fmt::format("line {}: field '{}'", number, prompt_field);
  if (const std::string* text = prompt->as_text()) return of_text(*text, record);
  if (const List* list = prompt->as_list()) return {ids_of(*list, where), false};
  throw Unusable{fmt::format("{} is a {}, expected a string", where, kind_of(*prompt))};
}

RecordRenderer::RecordRenderer(const PromptOptions& resolved, std::string prompt_field) {
  auto parts = std::make_unique<Parts>();
  parts->options = resolved;
  parts->prompt_field = std::move(prompt_field);
  if (!resolved.record_template.empty()) {
    parts->record_template = Template::parse(resolved.record_template, "template");
  }
  if (resolved.chat_template != "none" && resolved.chat_template != "auto") {
    parts->chat_template = Template::parse(resolved.chat_template, "chat template");
  }
  if (!resolved.chat_time.empty()) parts->now = jinja::local_time_from_text(resolved.chat_time);
  if (!resolved.special_tokens.empty()) {
    parts->special_tokens = members_of(Value::from_json(resolved.special_tokens, "special tokens"));
  }
  for (const std::string& assignment : resolved.template_vars) {
    parts->variables.push_back(variable_of(assignment));
  }
  parts->shot_lines = lines_of(resolved.few_shot);
  const bool in_template = parts->record_template && parts->record_template->mentions("few_shot");
  for (const Value& line : parts->shot_lines) {
    if (!in_template) add_shots(line, resolved.messages_field, parts->shots);
  }
  parts_ = std::move(parts);
}

RecordRenderer::~RecordRenderer() = default;

namespace {

/// Whether two ways to read a record give the same.
bool same_prompt(const Prompt& a, const Prompt& b) {
  const auto* bad = std::get_if<BadPrompt>(&a);
  const auto* other = std::get_if<BadPrompt>(&b);
  if (bad != nullptr && other != nullptr) return bad->reason == other->reason;
  if (const auto* text = std::get_if<std::string>(&a)) {
    return std::holds_alternative<std::string>(b) && *text == std::get<std::string>(b);
  }
  const auto* ids = std::get_if<std::vector<TokenId>>(&a);
  return ids != nullptr && std::holds_alternative<std::vector<TokenId>>(b) &&
         *ids == std::get<std::vector<TokenId>>(b);
}

/// Result of `work` on the object in `record`, or the reason why there is none.
template <typename Result, typename Work>
Result made_of(std::string_view record, std::uint64_t number, const Work& work) {
  std::optional<Value> value;
  try {
    value = Value::from_json(record, "line");
  } catch (const FormatError&) {
    // The parser's own text may differ between its versions, and reasons are stored.
  }
  if (!value || value->as_dict() == nullptr) {
    return {BadPrompt{fmt::format("line {} is not a JSON object", number)}};
  }
  try {
    return work(*value);
  } catch (const Unusable& problem) {
    return {BadPrompt{one_line(problem.reason)}};
  } catch (const jinja::RenderError& error) {
    return {BadPrompt{one_line(error.what())}};
  }
}

/// made_of() of a record as Python writes them: values outside RFC 8259 are allowed where
/// no result depends on them. `same` compares two results.
template <typename Result, typename Work, typename Same>
Result made_of_any(std::string_view record, std::uint64_t number, const Work& work,
                   const Same& same) {
  constexpr std::size_t kMostTries = 100;  // a result is made for each
  const detail::PythonJson python(record);
  if (python.count() == 0) return made_of<Result>(record, number, work);
  Result made = made_of<Result>(python.strict_text(), number, work);
  for (std::size_t i = 0; i < std::min(python.count(), kMostTries); ++i) {
    if (same(made_of<Result>(python.text_with_other(i), number, work), made)) continue;
    const auto [what, column] = python.at(i);
    return {BadPrompt{fmt::format(
        "line {}: the prompt is made of {} at column {}, which is no JSON", number, what, column)}};
  }
  return made;
}

}  // namespace

RenderedPrompt RecordRenderer::render(std::string_view record, std::uint64_t number) const {
  return made_of_any<RenderedPrompt>(
      record, number, [&](const Value& value) { return parts_->of_record(value, number); },
      [](const RenderedPrompt& a, const RenderedPrompt& b) {
        return same_prompt(a.prompt, b.prompt);
      });
}

std::variant<RenderedTurns, BadPrompt> RecordRenderer::render_turns(std::string_view record,
                                                                    std::uint64_t number) const {
  using Made = std::variant<RenderedTurns, BadPrompt>;
  return made_of_any<Made>(
      record, number, [&](const Value& value) { return parts_->turns_of(value, number); },
      [](const Made& a, const Made& b) {
        const auto* bad = std::get_if<BadPrompt>(&a);
        const auto* other = std::get_if<BadPrompt>(&b);
        if (bad != nullptr && other != nullptr) return bad->reason == other->reason;
        return bad == nullptr && other == nullptr &&
               std::get<RenderedTurns>(a) == std::get<RenderedTurns>(b);
      });
}

Prompt RecordRenderer::field(std::string_view record, std::uint64_t number,
                             const std::string& path) const {
  const auto text_or_ids = [&](const Value& value) -> Prompt {
    const std::string where = fmt::format("line {}: field '{}'", number, path);
    const Value* found = find_path(value, path);
    if (found == nullptr) throw Unusable{fmt::format("line {} has no field '{}'", number, path)};
    if (const std::string* text = found->as_text()) return *text;
    if (const List* list = found->as_list()) return ids_of(*list, where);
    throw Unusable{fmt::format("{} is a {}, expected a string", where, kind_of(*found))};
  };
  return made_of_any<Prompt>(record, number, text_or_ids, same_prompt);
}

RenderedPrompt RecordRenderer::render_text(const std::string& text) const {
  try {
    const Value record = Value::dict({{parts_->prompt_field, Value::text(text)}});
    return parts_->of_record(record, 0);
  } catch (const Unusable& problem) {
    return {BadPrompt{one_line(problem.reason)}};
  } catch (const jinja::RenderError& error) {
    return {BadPrompt{one_line(error.what())}};
  }
}

}  // namespace gridmill
