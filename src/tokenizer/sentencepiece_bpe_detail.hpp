#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gridmill/base/ids.hpp"
#include "tokenizer/longest_match_detail.hpp"
#include "tokenizer/merge_detail.hpp"
#include "tokenizer/sentencepiece_text.hpp"
#include "tokenizer/text_encoder_detail.hpp"

namespace gridmill::tokenizer_detail {

/// BPE whose merges are ordered by the score of the piece they make (SentencePiece, llama2.c).
/// Source: `bpe::Model::SampleEncode` of SentencePiece, `encode` of llama2.c.
class SentencePieceBpe : public TextEncoder {
 public:
  SentencePieceBpe(SentencePieceText text, std::string where)
      : text_(std::move(text)), where_(std::move(where)) {}

  /// A piece that merges may make. If two are equal the first one counts.
  /// @throws FormatError if it is empty, longer than LongestMatch::kLongestWord, or `score` is NaN.
  void add_piece(std::string_view piece, TokenId id, float score);
  /// A piece that is cut out of the text before any merge and takes part in none.
  void add_user_defined(std::string_view piece, TokenId id);
  /// Unknown characters become byte tokens.
  void set_byte_tokens(const ByteTokens& bytes) { bytes_ = bytes; }
  /// Unknown characters without byte tokens: neighbours share one unknown token.
  void set_unknown(TokenId id) { unknown_ = id; }
  void finish() const {}

  [[nodiscard]] std::vector<TokenId> encode(std::string_view text, Stretch stretch) const override;
  [[nodiscard]] std::size_t most_bytes_of_an_id() const override;

 private:
  struct Piece {
    TokenId id;
    double priority;  // -score
  };
  SentencePieceText text_;
  std::string where_;
  TextMap<Piece> pieces_;
  std::size_t longest_ = 0;
  std::size_t longest_user_defined_ = 1;
  LongestMatch user_defined_;
  std::optional<ByteTokens> bytes_;
  std::optional<TokenId> unknown_;

  void append_ids(std::string_view text, MergeScratch& scratch, std::vector<TokenId>& ids) const;
  void append_unknown(std::string_view symbol, bool continues, std::vector<TokenId>& ids) const;
};

}  // namespace gridmill::tokenizer_detail
