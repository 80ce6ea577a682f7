#include "gridmill/prompts/prompt_reader.hpp"

#include <cstdint>
#include <optional>
#include <utility>
#include <variant>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill {

PromptReader::PromptReader(const PromptSource& prompts, const PromptOptions& resolved,
                           const std::string& prompt_field)
    : prompts_(prompts) {
  if (prompts_.index().format == PromptFormat::h5) return;
  renderer_ = std::make_unique<RecordRenderer>(resolved, prompt_field);
  PromptOptions rendering = resolved;
  rendering.max_prompt_tokens = PromptOptions().max_prompt_tokens;
  rendering.truncate_prompt = PromptOptions().truncate_prompt;
  plain_ = rendering == PromptOptions();
}

RenderedPrompt PromptReader::read(PromptId prompt) const {
  const bool lines = prompts_.index().format == PromptFormat::text_lines;
  if (!renderer_ || (plain_ && lines)) return {prompts_.read(prompt)};
  if (lines) return renderer_->render_text(std::get<std::string>(prompts_.read(prompt)));
  RenderedPrompt plain;
  if (plain_) {
    plain.prompt = prompts_.read(prompt);
    if (!std::holds_alternative<BadPrompt>(plain.prompt)) return plain;
  }
  const std::optional<std::string> record = prompts_.record(prompt);
  if (!record) return {prompts_.read(prompt)};
  RenderedPrompt rendered = renderer_->render(*record, std::uint64_t{prompt} + 1);
  // If no reading makes a prompt of a record, the reason is that of the plain one.
  const auto* bad = std::get_if<BadPrompt>(&rendered.prompt);
  return plain_ && bad != nullptr && bad->reason != kNoChatTemplate ? plain : rendered;
}

std::variant<std::string, BadPrompt> PromptReader::record_of(PromptId prompt) const {
  if (!renderer_) throw InternalError("prompts of token ids have no records");
  if (std::optional<std::string> record = prompts_.record(prompt)) return std::move(*record);
  // The source has the reason: a failed row of a result file is one.
  Prompt plain = prompts_.read(prompt);
  if (auto* bad = std::get_if<BadPrompt>(&plain)) return std::move(*bad);
  return BadPrompt{fmt::format("line {} is not a JSON object", std::uint64_t{prompt} + 1)};
}

std::variant<RenderedTurns, BadPrompt> PromptReader::read_turns(PromptId prompt) const {
  auto record = record_of(prompt);
  if (auto* bad = std::get_if<BadPrompt>(&record)) return std::move(*bad);
  return renderer_->render_turns(std::get<std::string>(record), std::uint64_t{prompt} + 1);
}

Prompt PromptReader::read_field(PromptId prompt, const std::string& path) const {
  auto record = record_of(prompt);
  if (auto* bad = std::get_if<BadPrompt>(&record)) return std::move(*bad);
  return renderer_->field(std::get<std::string>(record), std::uint64_t{prompt} + 1, path);
}

}  // namespace gridmill
