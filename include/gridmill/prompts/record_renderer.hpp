#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

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

/// A conversation as a chat template writes it, without the prompt for an answer, and where in it
/// the assistant speaks: bytes [first, end), ascending.
struct RenderedTurns {
  std::string text;
  std::vector<std::pair<std::size_t, std::size_t>> turns;
  friend bool operator==(const RenderedTurns&, const RenderedTurns&) = default;
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
  /// The messages of `record` and their assistant's turns; few shots are no turns of it. A turn is
  /// what the template adds for the message behind the prompt for an answer.
  [[nodiscard]] std::variant<RenderedTurns, BadPrompt> render_turns(std::string_view record,
                                                                    std::uint64_t number) const;
  /// A field of `record`: a text or a list of token ids.
  [[nodiscard]] Prompt field(std::string_view record, std::uint64_t number,
                             const std::string& path) const;
  /// The same for a prompt that is a text and no record, such as a line of a .txt file.
  [[nodiscard]] RenderedPrompt render_text(const std::string& text) const;

 private:
  struct Parts;
  std::unique_ptr<const Parts> parts_;
};

}  // namespace gridmill
