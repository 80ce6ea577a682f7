#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gridmill::tokenizer_detail {

/// SentencePiece's precompiled map of normalisation rules: a double-array trie whose leaves point
/// at replacement texts. Every access is checked, since the bytes come from a file.
class Charsmap {
 public:
  struct Found {
    std::size_t length;            ///< bytes of the matched prefix
    std::string_view replacement;  ///< lives as long as the map
  };

  /// @param blob  4-byte little-endian size of the trie, the trie, texts that end with a zero byte.
  /// @throws FormatError
  Charsmap(std::string_view blob, const std::string& where);

  /// The longest rule that matches at the start of `text`: the choice of SentencePiece.
  [[nodiscard]] std::optional<Found> longest_at(std::string_view text) const;
  /// The text as a `Precompiled` normalizer writes it: a grapheme cluster of fewer than 6 bytes is
  /// replaced as a whole by the shortest rule that matches its start; else, or without a match,
  /// each of its characters is. Ill-formed bytes stay.
  [[nodiscard]] std::string normalize(std::string_view text) const;

 private:
  std::vector<std::uint32_t> units_;
  std::string texts_;

  enum class Choice : std::uint8_t { shortest, longest };
  [[nodiscard]] std::optional<Found> find(std::string_view text, Choice choice) const;
};

/// @throws FormatError if `text` is not base64.
[[nodiscard]] std::string decode_base64(std::string_view text, const std::string& where);

}  // namespace gridmill::tokenizer_detail
