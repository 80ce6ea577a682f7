#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "gridmill/prompts/prompt_options.hpp"
#include "gridmill/prompts/prompt_source.hpp"

namespace gridmill {

namespace jinja {
class Value;
}  // namespace jinja

/// The reason for messages without a chat template.
inline constexpr const char* kNoChatTemplate =
    "the record has messages, but there is no chat template: give --chat-template FILE, or a model "
    "that has one";

struct RenderedPrompt {
  Prompt prompt;
  /// From a chat template: it holds every special token, none is to be added.
  bool from_messages = false;
  /// The conversation, a list, if the prompt is one of messages that could be rendered.
  std::shared_ptr<const jinja::Value> messages{};
  /// The field of the last message that the model continues; empty = it answers.
  std::string continued_field{};
};

/// Makes prompts of records: JSON objects with a text, with messages, or with fields for a
/// template. Immutable: threads may share it.
class RecordRenderer {
 public:
  /// @param resolved  by resolve_prompt_options(). @throws FormatError for a text that is no
  /// template.
  RecordRenderer(const PromptOptions& resolved, std::string prompt_field);
  ~RecordRenderer();
  RecordRenderer(const RecordRenderer&) = delete;
  RecordRenderer& operator=(const RecordRenderer&) = delete;

  /// The prompt of `record`; what is wrong with it is a BadPrompt.
  /// @param number  of its line, from 1, for reasons.
  [[nodiscard]] RenderedPrompt render(std::string_view record, std::uint64_t number) const;
  /// The same for a prompt that is a text and no record, such as a line of a .txt file.
  [[nodiscard]] RenderedPrompt render_text(const std::string& text) const;

 private:
  /// Of JSON as RFC 8259 has it.
  [[nodiscard]] RenderedPrompt render_strict(std::string_view record, std::uint64_t number) const;
  struct Parts;
  std::unique_ptr<const Parts> parts_;
};

}  // namespace gridmill
