#pragma once

#include "gridmill/checkpoint/checkpoint_file.hpp"
#include "gridmill/prompts/prompt_options.hpp"
#include "gridmill/tokenizer/tokenizer.hpp"

namespace gridmill {

/// What a checkpoint brings along for its prompts.
/// @param tokenizer  the checkpoint's; null if it has none.
[[nodiscard]] ModelTexts model_texts(const CheckpointFile& checkpoint, const Tokenizer* tokenizer);

}  // namespace gridmill
