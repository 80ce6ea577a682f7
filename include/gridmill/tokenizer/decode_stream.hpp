#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "gridmill/base/ids.hpp"
#include "gridmill/tokenizer/tokenizer.hpp"

namespace gridmill {

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
  std::optional<TokenId> previous_;

  [[nodiscard]] std::string take_certain_text();
  [[nodiscard]] std::string strip_start(std::string text);
};

}  // namespace gridmill
