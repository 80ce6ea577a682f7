#pragma once

#include <optional>
#include <string>

#include "gridmill/base/file.hpp"
#include "gridmill/h5/dataset.hpp"
#include "gridmill/prompts/prompt_source.hpp"

namespace gridmill::detail {

/// .txt: a line is a prompt.
class TextLines : public PromptSource {
 public:
  TextLines(const std::string& path, PromptIndex index);

 protected:
  /// Line `prompt` without its line end.
  [[nodiscard]] std::string line(PromptId prompt) const;

 private:
  [[nodiscard]] Prompt read_checked(PromptId prompt) const override;

  FileDescriptor file_;
};

/// .jsonl: a line is an object that holds the text in one field.
class JsonLines final : public TextLines {
 public:
  JsonLines(const std::string& path, PromptIndex index, std::string field);
  [[nodiscard]] std::optional<std::string> record(PromptId prompt) const override;

 private:
  [[nodiscard]] Prompt read_checked(PromptId prompt) const override;

  std::string field_;
};

/// .h5: `prefix_tokens` [N, T] or [N], optional `prefix_mask` of the same size.
class H5Prompts final : public PromptSource {
 public:
  H5Prompts(const std::string& path, PromptIndex index);
  [[nodiscard]] PrefixMatrix prefix_rows(std::uint64_t first, std::uint64_t count) const override;

 private:
  [[nodiscard]] Prompt read_checked(PromptId prompt) const override;

  h5::Dataset tokens_;
  std::optional<h5::Dataset> mask_;
};

/// Prompts in the .h5 file at `path`. @throws FormatError
std::uint64_t count_h5_prompts(const std::string& path);

}  // namespace gridmill::detail
