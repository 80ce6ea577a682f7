#pragma once

#include <memory>
#include <string>

#include "gridmill/prompts/prompt_source.hpp"

namespace gridmill {

/// PromptSource::open(), and result files too: a row of one is a record with the fields of its
/// prompt's record and its own `index`, `prompt_index`, `sample_index`, `text`, `finish_reason`,
/// `prompt`, `prompt_tokens`, `completion_tokens` and `messages` (docs/formats/prompts.md).
/// @param model  whose tokenizer is tried if that of the earlier job's model is the same; empty =
/// the model that the earlier job's run log names.
/// @throws as PromptSource::open(); FormatError for a result file with rows that are not finished,
/// or whose model or prompts are not there any more.
[[nodiscard]] std::unique_ptr<PromptSource> open_prompt_source(const std::string& path,
                                                               PromptIndex index,
                                                               const std::string& prompt_field,
                                                               const std::string& model);

}  // namespace gridmill
