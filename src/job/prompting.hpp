#pragma once

#include <string>

#include "gridmill/job/job_config.hpp"
#include "gridmill/job/request_maker.hpp"
#include "gridmill/job/run_context.hpp"
#include "gridmill/prompts/prompt_options.hpp"
#include "gridmill/prompts/prompt_source.hpp"

namespace gridmill::job_detail {

/// Collective: what the options mean for this model and these prompts. Rank 0 reads the files that
/// they name, everybody gets their contents.
/// @param prompts  opened by open_prompts() with given.messages_field.
/// @throws on every rank the same: what resolve_prompt_options() throws; UsageError for options
/// that need records where prompts are token ids, or if the first record holds messages and there
/// is no chat template.
[[nodiscard]] PromptOptions resolve_prompting(const PromptOptions& given, RunContext& context,
                                              const std::string& prompt_field,
                                              const PromptSource& prompts);

/// The same on one process, for a checkpoint and its tokenizer (null if it has none).
[[nodiscard]] PromptOptions resolve_prompting(const PromptOptions& given,
                                              const CheckpointFile& checkpoint,
                                              const Tokenizer* tokenizer,
                                              const std::string& prompt_field,
                                              const PromptSource& prompts);

/// Prints the first `config.show` prompts of the rows in `range` to stdout as they will be fed, a
/// JSON object a line: the number, the text with special tokens, the ids; or the reason why the row
/// will fail.
void show_prompts(const RequestMaker& requests, const JobConfig& config, const RowRange& range,
                  const Tokenizer* tokenizer);

}  // namespace gridmill::job_detail
