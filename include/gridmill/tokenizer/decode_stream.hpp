#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "gridmill/base/ids.hpp"
#include "gridmill/tokenizer/tokenizer.hpp"

namespace gridmill {

namespace tokenizer_detail {
/// How far a sequence of tokens is decoded, as far as it matters for the next token.
struct DecodePlace {
  bool at_start = true;             ///< no token was kept yet
  std::optional<TokenId> previous;  ///< kept or left out
};
}  // namespace tokenizer_detail

/// Decodes a sequence as it grows. What `push` and `finish` return, joined, is exactly
/// `Tokenizer::decode` of all ids; each part is complete, well-formed UTF-8.
///
/// Text is held back while it may still change: an unfinished character, and with a `ByteFallback`
/// decoder a whole run of byte tokens. The tokenizer must outlive the stream.
class DecodeStream {
 public:
  DecodeStream(const Tokenizer& tokenizer, bool skip_special);

  /// Adds one token; returns the text that has become certain, often empty.
  /// @throws UsageError if `id` is outside [0, vocab_size()).
  [[nodiscard]] std::string push(TokenId id);
  /// Returns what was held back, an unfinished character as U+FFFD. The stream is then as new.
  [[nodiscard]] std::string finish();

 private:
  const tokenizer_detail::TokenizerParts* parts_;
  bool skip_special_;
  std::string pending_;  // bytes whose text is not certain yet
  std::size_t strips_left_;
  tokenizer_detail::DecodePlace place_;

  [[nodiscard]] std::string take_certain_text();
  [[nodiscard]] std::string strip_start(std::string text);
};

}  // namespace gridmill
