#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gridmill/base/ids.hpp"
#include "gridmill/base/json.hpp"
#include "tokenizer/text_encoder_detail.hpp"
#include "tokenizer/viterbi.hpp"

namespace gridmill::tokenizer_detail {

/// The `model` of a tokenizer.json of type Unigram.
/// Source: `Unigram` of Hugging Face tokenizers.
class UnigramModel {
 public:
  /// @param is_byte_level  pieces are spelled in the byte-level alphabet.
  /// @throws FormatError
  UnigramModel(const Json& model, bool is_byte_level, const std::string& where);

  /// Appends the ids of one piece of the pre-tokenizer. Adjacent unknown characters become their
  /// byte tokens if there are all of these, else one unknown token.
  /// @throws FormatError if a character is unknown and there is no unknown token.
  void append_ids(std::string_view piece, std::vector<TokenId>& ids) const;
  /// Tokens as the file spells them, by id.
  [[nodiscard]] const std::vector<std::string>& tokens() const { return tokens_; }
  [[nodiscard]] std::optional<TokenId> find(std::string_view token) const;
  /// Bytes of the longest token; 0 if there are characters without a token.
  [[nodiscard]] std::size_t most_bytes_of_an_id() const;

 private:
  std::string where_;
  bool is_byte_level_;
  std::vector<std::string> tokens_;
  TextMap<TokenId> ids_;  // of equal tokens the last one counts
  ViterbiPieces<double> pieces_;
  std::optional<TokenId> unknown_;
  std::optional<ByteTokens> bytes_;  // `byte_fallback`; kNoToken if missing

  void append_unknown(std::string_view run, std::vector<TokenId>& ids) const;
};

}  // namespace gridmill::tokenizer_detail
