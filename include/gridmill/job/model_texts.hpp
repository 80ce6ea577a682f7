#pragma once

#include "gridmill/checkpoint/checkpoint_file.hpp"
#include "gridmill/prompts/prompt_options.hpp"
#include "gridmill/tokenizer/tokenizer.hpp"

namespace gridmill {

/// Texts of a checkpoint that its prompts need.
/// @param tokenizer  the checkpoint's; null if it has none.
[[nodiscard]] ModelTexts model_texts(const CheckpointFile& checkpoint, const Tokenizer* tokenizer);

}  // namespace gridmill
