#pragma once

#include <memory>
#include <string>
#include <variant>

#include "gridmill/prompts/prompt_options.hpp"
#include "gridmill/prompts/prompt_source.hpp"
#include "gridmill/prompts/record_renderer.hpp"

namespace gridmill {

/// Prompts of a file as they are fed: as the file has them, or rendered from their records. One
/// thread at a time, as the source.
class PromptReader {
 public:
  /// @param prompts  must outlive this. @param resolved  by resolve_prompt_options().
  /// @throws FormatError for a text that is no template.
  PromptReader(const PromptSource& prompts, const PromptOptions& resolved,
               const std::string& prompt_field);

  /// @throws IoError or FormatError if the prompt file changed under us.
  [[nodiscard]] RenderedPrompt read(PromptId prompt) const;
  /// RecordRenderer::render_turns() and field() of the prompt's record. For files of records only.
  /// @throws as read().
  [[nodiscard]] std::variant<RenderedTurns, BadPrompt> read_turns(PromptId prompt) const;
  [[nodiscard]] Prompt read_field(PromptId prompt, const std::string& path) const;

 private:
  /// The record of a prompt, or why there is none.
  [[nodiscard]] std::variant<std::string, BadPrompt> record_of(PromptId prompt) const;

  const PromptSource& prompts_;
  std::unique_ptr<const RecordRenderer> renderer_;  ///< null for prompts of token ids
  bool plain_ = true;                               ///< no option makes prompts of records
};

}  // namespace gridmill
