#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "gridmill/base/ids.hpp"
#include "gridmill/prompts/prompt_index.hpp"

namespace gridmill {

/// A prompt that cannot be used; its row becomes a failed row.
struct BadPrompt {
  std::string reason;  ///< one line without file names, so that equal jobs give equal bytes
};

/// Text still to be tokenized (any bytes, from .txt possibly not UTF-8), token ids (possibly none,
/// not checked against a vocabulary), or the reason why there is neither.
using Prompt = std::variant<std::string, std::vector<TokenId>, BadPrompt>;

/// Prompts as `generate_tokens` takes them: fixed width, with a mask that may have holes.
struct PrefixMatrix {
  std::uint64_t rows = 0;
  std::uint64_t columns = 0;
  std::vector<TokenId> tokens;      ///< [rows, columns]
  std::vector<std::uint8_t> given;  ///< [rows, columns], 1 = this position is given
};

/// Random access to the prompts of a file; texts stay on disk. Local: every process opens its own.
/// One thread at a time.
class PromptSource {
 public:
  /// Opens `path` for which `index` was built (perhaps by another process).
  /// @param prompt_field  .jsonl only: the field of each object that holds the text.
  /// @throws MissingInputError if it cannot be read; FormatError if its size is no longer the
  /// index's, or an .h5 file lacks `prefix_tokens` or has one of a wrong shape.
  [[nodiscard]] static std::unique_ptr<PromptSource> open(
      const std::string& path, PromptIndex index, const std::string& prompt_field = "prompt");
  PromptSource(const PromptSource&) = delete;
  PromptSource& operator=(const PromptSource&) = delete;
  virtual ~PromptSource() = default;

  [[nodiscard]] std::uint64_t count() const { return index_.count; }
  [[nodiscard]] const PromptIndex& index() const { return index_; }
  [[nodiscard]] const std::string& path() const { return path_; }

  /// @throws IoError or FormatError if the file changed under us; InternalError unless prompt <
  /// count().
  [[nodiscard]] Prompt read(PromptId prompt) const;
  /// The prompt's own JSON object, verbatim on one line, ready to be spliced into another JSON
  /// text; nothing if the file is not .jsonl or the line holds no object.
  [[nodiscard]] virtual std::optional<std::string> record(PromptId prompt) const;
  /// Rows [first, first + count) of an .h5 file as stored; masked positions keep their token.
  /// @throws UsageError for other files; FormatError for a token id out of int32.
  [[nodiscard]] virtual PrefixMatrix prefix_rows(std::uint64_t first, std::uint64_t count) const;

 protected:
  PromptSource(std::string path, PromptIndex index)
      : path_(std::move(path)), index_(std::move(index)) {}

 private:
  [[nodiscard]] virtual Prompt read_checked(PromptId prompt) const = 0;

  std::string path_;
  PromptIndex index_;
};

/// Looks at the first 1,000 prompts of a file (and at most 64 MiB) until one can be used; reading a
/// file that is not what its name says would fail row after row.
/// @param why_not  why a prompt cannot be used; nothing if it can.
/// @return reasons of the first lines that cannot be used, three at most, for a warning; empty if
/// the first one can.
/// @throws FormatError if none can be used, or if the file is certainly something else (compressed,
/// UTF-16, a JSON array, JSON over several lines), saying what it looks like and what to do.
[[nodiscard]] std::vector<std::string> require_usable_prompts(
    const PromptSource& prompts,
    const std::function<std::optional<std::string>(PromptId)>& why_not);

}  // namespace gridmill
