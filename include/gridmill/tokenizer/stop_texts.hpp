#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "gridmill/base/ids.hpp"
#include "gridmill/tokenizer/tokenizer.hpp"

namespace gridmill {

/// Where a stop string was found in the text of a row.
struct StopMatch {
  /// Place of the string in the list.
  std::size_t stop = 0;
  /// Bytes of the generated text in front of it, and behind its end.
  std::size_t begin = 0;
  std::size_t end = 0;
};

/// Looks for stop strings in the generated text of a row, byte for byte, as tokens come: those
/// whose last byte belongs to the newest token. They may begin in an earlier token, but not in the
/// prompt. Special tokens have no bytes.
class StopTexts {
 public:
  /// The tokenizer must outlive this. No stop may be empty.
  StopTexts(const Tokenizer& tokenizer, std::vector<std::string> stops,
            std::span<const TokenId> prompt);
  /// Among several matches: the one with the earliest beginning, then the first of the list.
  [[nodiscard]] std::optional<StopMatch> push(TokenId id);

 private:
  const Tokenizer* tokenizer_;
  std::vector<std::string> stops_;
  std::size_t longest_ = 0;
  /// Tokens that decide how the next one decodes.
  std::vector<TokenId> context_;
  /// The end of the text, long enough for a match with the next token ...
  std::string tail_;
  /// ... and the bytes before it.
  std::size_t before_tail_ = 0;
};

/// Special tokens by their text. They have no bytes in a generated text, so a stop string that is
/// the text of one means the token.
[[nodiscard]] std::map<std::string, TokenId> special_token_texts(const Tokenizer& tokenizer);

}  // namespace gridmill
