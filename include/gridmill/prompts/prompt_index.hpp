#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "gridmill/compression/compression.hpp"
#include "gridmill/compression/unpacker.hpp"
#include "gridmill/prompts/line_starts.hpp"

namespace gridmill {

enum class PromptFormat : std::uint8_t {
  text_lines,
  jsonl,
  h5,       ///< token ids
  results,  ///< a result file, whose rows are records
};

/// Where each prompt of a file begins, and what identifies the file. 8 bytes a line.
///
/// One process builds it in one pass over the file and hands it to the others.
struct PromptIndex {
  PromptFormat format = PromptFormat::text_lines;
  Compression compression = Compression::none;
  std::uint64_t count = 0;       ///< prompts in the file
  std::uint64_t size_bytes = 0;  ///< of the file
  std::string content_hash;      ///< of all bytes of the file
  /// Lines only: line i is bytes [line_starts[i], line_starts[i + 1]) with its line end; count + 1
  /// entries. A byte order mark at the start of the file belongs to no line, nor do empty lines
  /// behind the last object of a .jsonl file. Of an archive: bytes of its content.
  LineStarts line_starts;
  std::uint64_t longest_line = 0;  ///< bytes
  /// Archives only: where unpacking can begin, at most one a MiB of content.
  std::vector<UnpackStart> unpack_starts;
  /// Whether the bytes of a .jsonl file hold the name that build() was given, in quotes.
  bool mentions_field = false;

  /// Reads the whole file once. The extension says what it is: .txt, .jsonl or .h5; the first two
  /// also with .gz or .zst behind.
  /// A .h5 file says itself whether it is a result file.
  /// @param mentioned_field  a name to look for; empty = none.
  /// @throws UsageError for another extension, MissingInputError if it cannot be read, FormatError
  /// if it has more prompts than a row record can number, is not what the extension says, or is an
  /// archive that is damaged, cut short or has a line of more than 64 MiB.
  [[nodiscard]] static PromptIndex build(const std::string& path,
                                         const std::string& mentioned_field = "");

  /// For a broadcast between processes of one job: everything but the values of line_starts, in
  /// native byte order, no format of its own.
  [[nodiscard]] std::vector<std::byte> head() const;
  /// With zeros in line_starts, to be filled block by block.
  /// @throws InternalError if `bytes` did not come from head().
  [[nodiscard]] static PromptIndex from_head(std::span<const std::byte> bytes);

  friend bool operator==(const PromptIndex&, const PromptIndex&) = default;
};

/// Format of a file by the extension of `path`. @throws UsageError
[[nodiscard]] PromptFormat prompt_format_of(const std::string& path);

}  // namespace gridmill
