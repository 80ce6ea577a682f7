#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "tokenizer/charsmap.hpp"
#include "tokenizer/longest_match_detail.hpp"
#include "tokenizer/text_encoder_detail.hpp"

namespace gridmill::tokenizer_detail {

inline constexpr std::string_view kEscapedSpace = "\xE2\x96\x81";  // U+2581
inline constexpr std::string_view kPlainSpace = " ";

/// How SentencePiece writes a text before it is cut into pieces.
struct SentencePieceText {
  std::string_view space = kEscapedSpace;  ///< stands for ' ' in pieces
  bool dummy_prefix = true;                ///< a space in front of a text that is not empty
  bool remove_extra_whitespaces = false;   ///< one space for many, none at the ends
  /// Rules applied first, the longest at each place; none if empty.
  std::shared_ptr<const Charsmap> charsmap = nullptr;
};

/// @param kept  words that the charsmap leaves as they are.
/// @param stretch  a text within another one gets no dummy prefix.
/// Source: `Normalizer::Normalize` of SentencePiece.
[[nodiscard]] std::string write_for_pieces(const SentencePieceText& rules, std::string_view text,
                                           const LongestMatch& kept, Stretch stretch);

}  // namespace gridmill::tokenizer_detail
