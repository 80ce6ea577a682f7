#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gridmill/base/ids.hpp"
#include "gridmill/tokenizer/decode_stream.hpp"
#include "tokenizer/decoder_detail.hpp"
#include "tokenizer/text_encoder_detail.hpp"

namespace gridmill::tokenizer_detail {

/// All that a Tokenizer is made of; each file format has a function that fills this in.
struct TokenizerParts {
  std::unique_ptr<const TextEncoder> encoder;
  std::vector<DecodedToken> tokens;  ///< by id
  DecodeRules rules;
  std::vector<TokenId> prefix;  ///< special tokens in front of a text
  std::vector<TokenId> suffix;  ///< and behind it
  std::optional<TokenId> bos;
  std::optional<TokenId> eos;  ///< of a SentencePiece file
  int vocab_size = 0;          ///< >= tokens.size()

  /// @throws UsageError if `id` is outside [0, vocab_size).
  [[nodiscard]] const DecodedToken& token(TokenId id) const;
  /// Bytes of the next token of a sequence; none if the token is left out.
  /// @throws UsageError if `id` is outside [0, vocab_size).
  [[nodiscard]] std::optional<std::string_view> next_bytes(TokenId id, bool skip_special,
                                                           DecodePlace& place) const;
};

[[nodiscard]] TokenizerParts read_hugging_face(std::string_view text, const std::string& where);
[[nodiscard]] TokenizerParts read_sentencepiece(std::string_view bytes, const std::string& where);
/// A line of JSON, then a SentencePiece file: kSentencePieceBundle.
[[nodiscard]] TokenizerParts read_sentencepiece_bundle(std::string_view bytes,
                                                       const std::string& where);
/// @param vocab_size  tokens that the file must have; 0 = as many as it has.
[[nodiscard]] TokenizerParts read_llama2c(std::string_view bytes, int vocab_size,
                                          const std::string& where);

}  // namespace gridmill::tokenizer_detail
