#pragma once

#include <string>

#include "convert/model_folder.hpp"

namespace gridmill::convert_detail {

/// A tokenizer as a checkpoint stores it.
struct FoundTokenizer {
  std::string kind;  ///< empty = none
  std::string bytes;
  std::string where;  ///< names it in messages
};

/// The tokenizer of a Hugging Face folder: tokenizer.json; else tokenizer.model, with the added
/// tokens and settings of added_tokens.json, tokenizer_config.json and special_tokens_map.json;
/// else vocab.json and merges.txt, written as a tokenizer.json. Settings that are not applied are
/// logged.
/// @throws FormatError, also if the folder has a tokenizer of another kind only.
[[nodiscard]] FoundTokenizer find_tokenizer(ModelFolder& folder);

}  // namespace gridmill::convert_detail
