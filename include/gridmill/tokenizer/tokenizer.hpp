#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gridmill/base/ids.hpp"

namespace gridmill {

namespace tokenizer_detail {
struct TokenizerParts;
}  // namespace tokenizer_detail

/// Kinds of tokenizer files; a checkpoint stores one of these next to the file's bytes.
inline constexpr std::string_view kHuggingFaceTokenizer = "tokenizer.json";
inline constexpr std::string_view kSentencePieceTokenizer = "tokenizer.model";
inline constexpr std::string_view kLlama2cTokenizer = "llama2.c";
/// tokenizer.model with the added tokens and settings of the files beside it, made by convert:
/// a line of JSON (docs/formats/checkpoint.md), then the file.
inline constexpr std::string_view kSentencePieceBundle = "tokenizer.model+settings";

/// Text to token ids and back. Immutable: every member may be called from many threads at once.
class Tokenizer {
 public:
  explicit Tokenizer(std::unique_ptr<const tokenizer_detail::TokenizerParts> parts);
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  /// Token ids of `text`.
  ///
  /// An ill-formed byte of UTF-8 counts as a symbol that is neither letter, digit nor space: it
  /// splits words and becomes its own byte token.
  /// @param add_special_tokens  adds what the tokenizer's file says, mostly a begin token in front.
  /// @throws FormatError if the tokenizer has no token for a symbol of the text (and no unknown
  ///         token), or if its splitting pattern needs too many steps; UsageError above 1 GiB.
  [[nodiscard]] std::vector<TokenId> encode(std::string_view text, bool add_special_tokens) const;

  /// A number of tokens that encode(text, false) does not fall short of, in linear time; 0 where
  /// the tokenizer allows no better bound.
  [[nodiscard]] std::size_t fewest_tokens(std::string_view text) const;

  /// The exact bytes that the ids stand for, not always well-formed UTF-8.
  /// @param skip_special  leaves special tokens (begin, end, ...) out.
  /// @throws UsageError if an id is outside [0, vocab_size()).
  [[nodiscard]] std::string decode_bytes(std::span<const TokenId> ids, bool skip_special) const;

  /// Text of the ids in well-formed UTF-8: each maximal ill-formed part becomes one U+FFFD.
  /// Tokenizers with a `ByteFallback` decoder judge a run of byte tokens as a whole, as the
  /// reference library does: if it is ill-formed anywhere, each byte of the run becomes U+FFFD.
  /// @throws UsageError if an id is outside [0, vocab_size()).
  [[nodiscard]] std::string decode(std::span<const TokenId> ids, bool skip_special) const;

  /// Number of ids up to the largest that the tokenizer's file has a token for.
  [[nodiscard]] int token_count() const;
  /// Ids are in [0, vocab_size()): the tokenizer's own, and the model's if that has more rows.
  /// Ids without a token (padding rows of the embedding) stand for no bytes.
  [[nodiscard]] int vocab_size() const;
  /// The token that the file puts in front of a text, if there is one.
  [[nodiscard]] std::optional<TokenId> bos() const;
  /// Bytes of one token wherever in a text; empty for an id without a token.
  /// @throws UsageError if `id` is outside [0, vocab_size()).
  [[nodiscard]] std::string token_bytes(TokenId id) const;
  /// Whether `skip_special` leaves the token out.
  /// @throws UsageError if `id` is outside [0, vocab_size()).
  [[nodiscard]] bool is_special(TokenId id) const;

 private:
  friend class DecodeStream;
  std::unique_ptr<const tokenizer_detail::TokenizerParts> parts_;
};

/// Reads the content of a Hugging Face tokenizer.json: BPE and Unigram models.
/// @param where  names the source in messages, e.g. "model/tokenizer.json".
/// @throws FormatError if the text does not say what it should, or names a component that gridmill
///         does not run (the message says `unsupported`).
[[nodiscard]] std::unique_ptr<Tokenizer> make_tokenizer(const std::string& tokenizer_json_text,
                                                        const std::string& where);

/// Reads the bytes of a tokenizer file of any kind.
///
/// @param kind  one of the four above.
/// @param vocab_size_hint  rows of the model's embedding, or 0 if unknown. A llama2.c file must
///        have exactly so many tokens; for the other kinds rows beyond the tokenizer's are padding.
/// @throws FormatError as above, UsageError for an unknown kind or a negative hint.
[[nodiscard]] std::unique_ptr<Tokenizer> make_tokenizer(std::string_view kind,
                                                        std::string_view bytes, int vocab_size_hint,
                                                        const std::string& where = "tokenizer");

/// The kind of a tokenizer file by its name: `.json`, `.model` (SentencePiece) or `.bin`
/// (llama2.c).
/// @throws UsageError for any other name.
[[nodiscard]] std::string_view tokenizer_kind_of(std::string_view path);

}  // namespace gridmill
