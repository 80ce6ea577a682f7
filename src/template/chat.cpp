#include "gridmill/template/chat.hpp"

#include <string_view>
#include <vector>

#include "gridmill/base/format.hpp"
#include "template/containers.hpp"
#include "template/printing.hpp"
#include "template/unicode_text.hpp"

namespace gridmill::jinja {

namespace {

/// Marks the end of the text to be continued. Templates may remove the blank at its end, which
/// shows that they removed blanks of the text, too.
constexpr std::string_view kMarker = "CONTINUE_FINAL_MESSAGE_TAG ";

[[noreturn]] void refuse(const std::string& reason) { throw RenderError(reason, reason, false); }

Value prepared(const Value& message, std::size_t number) {
  const Dict* dict = message.as_dict();
  if (dict == nullptr) {
    refuse(fmt::format("message {} is a {}, expected an object", number, type_name(message)));
  }
  DictBuilder result;
  for (const auto& [key, value] : dict->entries) {
    if (!value.is_none()) result.set(*key.as_text(), value);
  }
  for (const std::string_view name : {"reasoning_content", "thinking", "reasoning"}) {
    const Value* value = dict->find(name);
    if (value == nullptr || value->is_none()) continue;
    result.set("reasoning_content", *value);
    const Value* thinking = dict->find("thinking");
    if (thinking == nullptr || thinking->is_none()) result.set("thinking", *value);
    break;
  }
  return std::move(result).finish();
}

/// `dict` with another value for `name`.
Value with_member(const Dict& dict, const std::string& name, Value value) {
  DictBuilder result;
  for (const auto& [key, old] : dict.entries) result.set(*key.as_text(), old);
  result.set(name, std::move(value));
  return std::move(result).finish();
}

/// The last message with the marker behind its field.
struct Marked {
  Value message;
  std::string continued;  ///< the text before the marker
};

Marked marked(const Value& message, const std::string& field) {
  const Dict& dict = *message.as_dict();
  const Value* content = dict.find(field);
  if (content == nullptr) {
    refuse(fmt::format("the last message has no '{}' to continue", field));
  }
  if (const std::string* text = content->as_text()) {
    return {with_member(dict, field, Value::text(*text + std::string(kMarker))), *text};
  }
  const List* parts = content->as_list();
  if (parts == nullptr) {
    refuse(fmt::format("'{}' of the last message is a {}, expected a text to continue", field,
                       type_name(*content)));
  }
  std::vector<Value> items = parts->items;
  for (std::size_t i = items.size(); i-- > 0;) {
    const Dict* part = items[i].as_dict();
    const Value* text = part == nullptr ? nullptr : part->find("text");
    if (text == nullptr || text->as_text() == nullptr) continue;
    std::string continued = *text->as_text();
    items[i] = with_member(*part, "text", Value::text(continued + std::string(kMarker)));
    return {with_member(dict, field, Value::list(std::move(items))), std::move(continued)};
  }
  refuse("the last message has no text to continue");
}

/// Cuts where the marker is.
std::string cut(const std::string& text, std::string_view continued) {
  const std::string_view bare = strip(kMarker);
  const std::size_t at = text.rfind(bare);
  if (at == std::string::npos || text.find(strip(continued)) == std::string::npos) {
    refuse(
        "the last message does not appear in what the template makes of it, and cannot be "
        "continued");
  }
  const std::string_view before = std::string_view(text).substr(0, at);
  const bool kept_blank = text.compare(at, kMarker.size(), kMarker) == 0;
  return std::string(kept_blank ? before : strip(before, {.left = false, .right = true}));
}

std::vector<Value> prepared_messages(const Chat& chat) {
  const List* list = chat.messages.as_list();
  if (list == nullptr) {
    refuse(fmt::format("messages is a {}, expected a list of objects", type_name(chat.messages)));
  }
  if (list->items.empty()) refuse("there are no messages");
  std::vector<Value> messages;
  for (const Value& message : list->items) {
    messages.push_back(prepared(message, messages.size()));
  }
  return messages;
}

std::string render_prepared(const Template& chat_template, const Chat& chat,
                            const std::optional<LocalTime>& now, const RenderLimits& limits) {
  if (chat.continue_field && chat.add_generation_prompt) {
    refuse("a message cannot be continued when a generation prompt is to follow it");
  }
  std::vector<Value> messages = prepared_messages(chat);
  std::string continued;
  if (chat.continue_field) {
    Marked last = marked(messages.back(), *chat.continue_field);
    messages.back() = std::move(last.message);
    continued = std::move(last.continued);
  }
  Members variables = chat.variables;
  variables.emplace_back("messages", Value::list(std::move(messages)));
  variables.emplace_back("tools", chat.tools);
  variables.emplace_back("documents", chat.documents);
  variables.emplace_back("add_generation_prompt", Value::boolean(chat.add_generation_prompt));
  std::string text = chat_template.render(variables, now, limits);
  return chat.continue_field ? cut(text, continued) : text;
}

}  // namespace

std::string render_chat(const Template& chat_template, const Chat& chat,
                        std::optional<LocalTime> now, const RenderLimits& limits) {
  try {
    return render_prepared(chat_template, chat, now, limits);
  } catch (const Fault& fault) {  // a message nested too deeply
    throw RenderError(fault.message, fault.message, false);
  }
}

}  // namespace gridmill::jinja
