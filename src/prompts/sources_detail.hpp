#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "gridmill/base/file.hpp"
#include "gridmill/h5/dataset.hpp"
#include "gridmill/prompts/prompt_source.hpp"

namespace gridmill::detail {

/// Random access to the content of a file of lines. One thread at a time.
class LineBytes {
 public:
  LineBytes() = default;
  LineBytes(const LineBytes&) = delete;
  LineBytes& operator=(const LineBytes&) = delete;
  virtual ~LineBytes() = default;
  /// Fills `bytes` from byte `at` of the content. @throws FormatError if they are not there
  virtual void read(std::uint64_t at, std::span<std::byte> bytes) = 0;

  /// Opens a plain file or an archive. For bytes before the ones read last an archive is unpacked
  /// again, from its beginning or from the last possible place before `at`. So reading in order
  /// unpacks it once.
  [[nodiscard]] static std::unique_ptr<LineBytes> open(const std::string& path,
                                                       const PromptIndex& index);
};

/// The first bytes of the content of `prompts`, `most` at most.
[[nodiscard]] std::string beginning_of(const PromptSource& prompts, std::uint64_t most);

/// .txt: a line is a prompt.
class TextLines : public PromptSource {
 public:
  TextLines(const std::string& path, PromptIndex index);

 protected:
  /// Line `prompt` without its line end.
  [[nodiscard]] std::string line(PromptId prompt) const;

 private:
  [[nodiscard]] Prompt read_checked(PromptId prompt) const override;

  std::unique_ptr<LineBytes> content_;
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

/// Rows of the .h5 file at `path` if it is a result file of gridmill. Looks at it in a child
/// process first (h5::examine). @throws FormatError
std::optional<std::uint64_t> count_result_rows(const std::string& path);
/// Prompts in the .h5 file at `path`, which has been examined. @throws FormatError
std::uint64_t count_h5_prompts(const std::string& path);

}  // namespace gridmill::detail
