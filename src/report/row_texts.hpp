#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gridmill/prompts/prompt_source.hpp"
#include "gridmill/results/result_file.hpp"
#include "gridmill/results/row.hpp"
#include "gridmill/tokenizer/tokenizer.hpp"

namespace gridmill::report_detail {

/// A prompt as a person reads it.
struct PromptText {
  std::string text;  ///< as the model was fed, without special tokens; empty for a chat
  /// Role and content of each message; empty = the prompt is a text.
  std::vector<std::pair<std::string, std::string>> chat;
};

/// Generated tokens as text.
struct RowText {
  std::string text;
  /// Bytes of `text` that each generated token has added; of special tokens none.
  std::vector<std::size_t> bytes;
};

/// Texts of rows: the tokenizer and the prompts of the job that made a result file.
class RowTexts {
 public:
  /// @param model, prompts  empty = where the last run found them.
  /// @throws MissingInputError; FormatError unless both are those of the job, by hash; UsageError
  /// if nothing says where they are.
  RowTexts(const ResultFile& result, const std::string& model, const std::string& prompts);

  [[nodiscard]] PromptText prompt_of(const StoredRow& row) const;
  /// @param most_tokens  the text ends behind so many generated tokens.
  [[nodiscard]] RowText text_of(const StoredRow& row, std::size_t most_tokens) const;
  [[nodiscard]] const std::string& model_path() const { return model_path_; }
  [[nodiscard]] const std::string& prompts_path() const { return prompts_->path(); }

 private:
  void open_model(const Json& job, const std::string& output);
  [[nodiscard]] bool read_chat(PromptId prompt, PromptText& into) const;

  std::string model_path_;
  std::unique_ptr<Tokenizer> tokenizer_;  ///< null if the model has none
  std::unique_ptr<PromptSource> prompts_;
  std::string messages_field_;
  std::string system_;  ///< resolved
  bool has_template_ = false;
};

}  // namespace gridmill::report_detail
