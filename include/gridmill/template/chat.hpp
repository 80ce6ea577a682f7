#pragma once

#include <optional>
#include <string>

#include "gridmill/template/template.hpp"
#include "gridmill/template/value.hpp"

namespace gridmill::jinja {

/// A conversation to be rendered by a chat template.
struct Chat {
  Value messages;  ///< a list of dicts
  Value tools = Value::none();
  Value documents = Value::none();
  bool add_generation_prompt = true;
  /// The field of the last message that the model is to continue; nothing = no such field.
  std::optional<std::string> continue_field;
  /// Special tokens and the caller's own variables; of two with one name the later one holds.
  Members variables;
};

/// Renders messages as apply_chat_template of transformers 5.24 does. Members of a message that are
/// null are dropped first; of `reasoning_content`, `thinking` and `reasoning` the first that is
/// there becomes `reasoning_content`, and `thinking` too if that is missing. With `continue_field`
/// the text ends where that field of the last message ends.
/// @throws RenderError; raised() is true if the template refused the messages.
[[nodiscard]] std::string render_chat(const Template& chat_template, const Chat& chat,
                                      std::optional<LocalTime> now = {},
                                      const RenderLimits& limits = {});

}  // namespace gridmill::jinja
