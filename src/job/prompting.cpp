#include "job/prompting.hpp"

#include <optional>
#include <variant>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/grid/collectives.hpp"
#include "gridmill/job/model_texts.hpp"
#include "gridmill/prompts/record_renderer.hpp"

namespace gridmill::job_detail {

namespace {

/// Prompts of token ids have no records: only what cuts a prompt goes with them.
void require_no_rendering(const PromptOptions& given, const std::string& path) {
  const Json fields = to_json(given);  // items() refers to it
  for (const auto& [name, value] : fields.items()) {
    if (name == "max-prompt-tokens" || name == "truncate-prompt") continue;
    throw UsageError(fmt::format("--{} needs prompts that are records or texts; {} holds token ids",
                                 name, path));
  }
}

void require_chat_template(const PromptOptions& resolved, const std::string& prompt_field,
                           const PromptSource& prompts) {
  const PromptFormat format = prompts.index().format;
  const bool records = format == PromptFormat::jsonl || format == PromptFormat::results;
  if (!records || prompts.count() == 0) return;
  const std::optional<std::string> record = prompts.record(0);
  if (!record) return;
  const RenderedPrompt first = RecordRenderer(resolved, prompt_field).render(*record, 1);
  const auto* bad = std::get_if<BadPrompt>(&first.prompt);
  if (bad != nullptr && bad->reason == kNoChatTemplate) {
    throw UsageError(fmt::format("{}: {}", prompts.path(), kNoChatTemplate));
  }
}

}  // namespace

PromptOptions resolve_prompting(const PromptOptions& given, const CheckpointFile& checkpoint,
                                const Tokenizer* tokenizer, const std::string& prompt_field,
                                const PromptSource& prompts) {
  const PromptFormat format = prompts.index().format;
  if (format == PromptFormat::h5) {
    require_no_rendering(given, prompts.path());
    return given;
  }
  // A row of a result file always has a text as `prompt`.
  const bool uses_messages =
      format == PromptFormat::results ? prompt_field != "prompt" : prompts.index().mentions_field;
  PromptOptions resolved =
      resolve_prompt_options(given, model_texts(checkpoint, tokenizer), uses_messages);
  require_chat_template(resolved, prompt_field, prompts);
  return resolved;
}

PromptOptions resolve_prompting(const PromptOptions& given, RunContext& context,
                                const std::string& prompt_field, const PromptSource& prompts) {
  const Communicator& world = context.grid().world();
  std::string text;
  agree_on(world, [&] {
    if (world.rank() != 0) return;
    text = to_json(resolve_prompting(given, context.checkpoint(), context.tokenizer(), prompt_field,
                                     prompts))
               .dump();
  });
  broadcast(world, 0, text);
  return prompt_options_from_json(parse_json(text, "prompting"));
}

}  // namespace gridmill::job_detail
