#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace gridmill {

enum class PromptFormat : std::uint8_t { text_lines, jsonl, h5 };

/// Where each prompt of a file begins, and what identifies the file. 8 bytes a line.
///
/// One process builds it in one pass over the file and hands the bytes to the others.
struct PromptIndex {
  PromptFormat format = PromptFormat::text_lines;
  std::uint64_t count = 0;       ///< prompts in the file
  std::uint64_t size_bytes = 0;  ///< of the file
  std::string content_hash;      ///< of all bytes of the file
  /// Lines only: line i is bytes [line_starts[i], line_starts[i + 1]) with its line end; count + 1
  /// entries. A byte order mark at the start of the file belongs to no line, nor do empty lines
  /// behind the last object of a .jsonl file.
  std::vector<std::uint64_t> line_starts;

  /// Reads the whole file once. The extension says what it is: .txt, .jsonl or .h5.
  /// @throws UsageError for another extension, MissingInputError if it cannot be read, FormatError
  /// if it has more prompts than a row record can number or is not what the extension says.
  [[nodiscard]] static PromptIndex build(const std::string& path);

  /// For a broadcast between processes of one job: native byte order, no format of its own.
  [[nodiscard]] std::vector<std::byte> to_bytes() const;
  /// @throws InternalError if `bytes` did not come from to_bytes().
  [[nodiscard]] static PromptIndex from_bytes(std::span<const std::byte> bytes);

  friend bool operator==(const PromptIndex&, const PromptIndex&) = default;
};

/// What the extension of `path` stands for. @throws UsageError
[[nodiscard]] PromptFormat prompt_format_of(const std::string& path);

}  // namespace gridmill
