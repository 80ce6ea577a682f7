#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gridmill/base/ids.hpp"
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
};

/// BPE whose merges are ordered by the score of the piece they make (SentencePiece, llama2.c).
/// Source: `bpe::Model::SampleEncode` of SentencePiece, `encode` of llama2.c.
class SentencePieceBpe : public TextEncoder {
 public:
  SentencePieceBpe(SentencePieceText text, std::string where)
      : text_(text), where_(std::move(where)) {}

  /// A piece that merges may make. If two are equal the first one counts.
  /// @throws FormatError if it is empty, longer than LongestMatch::kLongestWord, or `score` is NaN.
  void add_piece(std::string_view piece, TokenId id, float score);
  /// A piece that is cut out of the text before any merge and takes part in none.
  void add_user_defined(std::string_view piece, TokenId id);
  [[nodiscard]] bool has_piece(std::string_view piece) const { return pieces_.contains(piece); }
  /// Unknown characters become byte tokens.
  void set_byte_tokens(const ByteTokens& bytes) { bytes_ = bytes; }
  /// Unknown characters without byte tokens: neighbours share one unknown token.
  void set_unknown(TokenId id) { unknown_ = id; }

  [[nodiscard]] std::vector<TokenId> encode(std::string_view text) const override;

 private:
  struct Piece {
    TokenId id;
    double priority;  // -score
  };
  SentencePieceText text_;
  std::string where_;
  TextMap<Piece> pieces_;
  std::size_t longest_ = 0;
  LongestMatch user_defined_;
  std::optional<ByteTokens> bytes_;
  std::optional<TokenId> unknown_;

  [[nodiscard]] std::string written(std::string_view text) const;
  void append_ids(std::string_view text, MergeScratch& scratch, std::vector<TokenId>& ids) const;
  void append_unknown(std::string_view symbol, bool continues, std::vector<TokenId>& ids) const;
};

}  // namespace gridmill::tokenizer_detail
