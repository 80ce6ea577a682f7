#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "gridmill/base/json.hpp"

namespace gridmill {

/// How records become prompts. As given, texts are names of files; resolve_prompt_options() puts
/// their contents in place, so that what is resolved needs no file any more.
struct PromptOptions {
  std::string messages_field = "messages";
  std::string record_template;  ///< --template
  std::string system;           ///< as given: a text, or @FILE
  std::string few_shot;
  std::string chat_template = "auto";  ///< as given: auto, none, a file or a name
  std::vector<std::string> template_vars;
  bool continue_final_message = false;
  std::string chat_time;
  std::int64_t max_prompt_tokens = 0;  ///< 0 = not given
  std::string truncate_prompt = "refuse";
  std::string special_tokens;  ///< no option; resolved: a JSON object, from the tokenizer

  friend bool operator==(const PromptOptions&, const PromptOptions&) = default;
};

/// A line of the one table of these options.
struct PromptOptionField {
  const char* name;   ///< of the option, and in the job's identity
  const char* value;  ///< in the help; null = no option
  const char* help;
  std::variant<std::string PromptOptions::*, bool PromptOptions::*, std::int64_t PromptOptions::*,
               std::vector<std::string> PromptOptions::*>
      member;
};
[[nodiscard]] std::span<const PromptOptionField> prompt_option_fields();

/// Options that differ from the defaults: empty for prompts that are plain texts.
[[nodiscard]] Json to_json(const PromptOptions& options);
/// @throws Json::exception if `fields` did not come from to_json().
[[nodiscard]] PromptOptions prompt_options_from_json(const Json& fields);

/// @throws UsageError for values out of range and for options that contradict each other.
void check_prompt_options(const PromptOptions& options);

/// Texts of a model that its prompts need.
struct ModelTexts {
  std::string name;  ///< for messages; empty = no model
  /// chat_template.jinja and tokenizer_config.json, if they are there.
  std::map<std::string, std::string> files;
  /// Used where tokenizer_config.json does not name them; empty = there is none.
  std::string bos_token, eos_token;
};

/// Reads the files that `given` names and takes the model's chat template and special tokens.
/// @param uses_messages  whether records may hold messages; without them (and without --system and
/// --few-shot) a chat template stays out, so that it does not belong to the job.
/// @throws MissingInputError; FormatError for a file that is no template or no .jsonl; UsageError
/// for a name that the model does not have, or a template that uses the time without
/// --chat-time.
[[nodiscard]] PromptOptions resolve_prompt_options(const PromptOptions& given,
                                                   const ModelTexts& model, bool uses_messages);

}  // namespace gridmill
