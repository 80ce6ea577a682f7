#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gridmill/base/ids.hpp"
#include "tokenizer/sentencepiece_text.hpp"
#include "tokenizer/text_encoder_detail.hpp"
#include "tokenizer/viterbi.hpp"

namespace gridmill::tokenizer_detail {

/// The model of a SentencePiece file of type Unigram. Sums are kept in fp32, as SentencePiece does.
/// Source: `unigram::Model` of SentencePiece.
class SentencePieceUnigram : public TextEncoder {
 public:
  SentencePieceUnigram(SentencePieceText text, std::string where)
      : text_(std::move(text)), where_(std::move(where)) {}

  /// A piece for the best path. @throws FormatError if it is empty, too long, or `score` is NaN.
  void add_piece(std::string_view piece, TokenId id, float score);
  /// A piece whose score is so good that it is always taken.
  void add_user_defined(std::string_view piece, TokenId id);
  /// Unknown characters become byte tokens.
  void set_byte_tokens(const ByteTokens& bytes) { bytes_ = bytes; }
  /// Unknown characters without byte tokens: neighbours share one unknown token.
  void set_unknown(TokenId id) { unknown_ = id; }
  /// To be called behind the last piece.
  void finish();

  [[nodiscard]] std::vector<TokenId> encode(std::string_view text, Stretch stretch) const override;
  [[nodiscard]] std::size_t most_bytes_of_an_id() const override;

 private:
  SentencePieceText text_;
  std::string where_;
  ViterbiPieces<float> pieces_;
  float best_score_ = 0;
  std::size_t longest_ = 1;
  bool has_piece_ = false;
  std::vector<std::pair<std::string, TokenId>> user_defined_;
  LongestMatch kept_;  // the same
  std::optional<ByteTokens> bytes_;
  std::optional<TokenId> unknown_;
};

}  // namespace gridmill::tokenizer_detail
