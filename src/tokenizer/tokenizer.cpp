#include "gridmill/tokenizer/tokenizer.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/tokenizer/decode_stream.hpp"
#include "tokenizer/parts_detail.hpp"

namespace gridmill {

namespace tokenizer_detail {

const DecodedToken& TokenizerParts::token(TokenId id) const {
  static const DecodedToken kPadding;
  if (id < 0 || id >= vocab_size) {
    throw UsageError(
        fmt::format("token id {} is outside the vocabulary, expected 0 to {}", id, vocab_size - 1));
  }
  const auto index = static_cast<std::size_t>(id);
  return index < tokens.size() ? tokens[index] : kPadding;
}

std::optional<std::string_view> TokenizerParts::next_bytes(TokenId id, bool skip_special,
                                                           DecodePlace& place) const {
  const DecodedToken& decoded = token(id);
  const bool drops_space = rules.no_space_after && place.previous == rules.no_space_after &&
                           !decoded.is_byte && decoded.bytes.starts_with(' ');
  place.previous = id;
  if (!decoded.is_taken || (skip_special && decoded.is_special)) return std::nullopt;
  if (std::exchange(place.at_start, false) && decoded.bytes_at_start) {
    return *decoded.bytes_at_start;
  }
  return std::string_view(decoded.bytes).substr(drops_space ? 1 : 0);
}

}  // namespace tokenizer_detail

using tokenizer_detail::Stretch;
using tokenizer_detail::TokenizerParts;

Tokenizer::Tokenizer(std::unique_ptr<const TokenizerParts> parts) : parts_(std::move(parts)) {}
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

std::vector<TokenId> Tokenizer::encode(std::string_view text, bool add_special_tokens) const {
  constexpr std::size_t kLongestText = std::size_t{1} << 30;  // offsets of symbols have 32 bits
  if (text.size() > kLongestText) {
    throw UsageError(fmt::format("a text of {} bytes; at most {} can be encoded at once",
                                 text.size(), kLongestText));
  }
  std::vector<TokenId> ids = parts_->encoder->encode(text, Stretch::at_start);
  if (add_special_tokens) {
    ids.insert(ids.begin(), parts_->prefix.begin(), parts_->prefix.end());
    ids.insert(ids.end(), parts_->suffix.begin(), parts_->suffix.end());
  }
  return ids;
}

std::size_t Tokenizer::fewest_tokens(std::string_view text) const {
  const std::size_t most = parts_->encoder->most_bytes_of_an_id();
  if (most == 0) return 0;
  // White space may vanish: the ASCII range up to the blank, U+0085 and U+00A0 (which begin with
  // 0xC2), U+1680 (0xE1), U+2000 to U+205F (0xE2), U+3000 (0xE3), and U+FEFF (0xEF).
  std::size_t bytes = 0;
  bool counts = true;
  for (const char c : text) {
    const auto byte = static_cast<std::uint8_t>(c);
    const bool continues = byte >= 0x80 && byte < 0xC0;
    if (!continues) {
      counts = byte > ' ' && byte != 0xC2 && byte != 0xE1 && byte != 0xE2 && byte != 0xE3 &&
               byte != 0xEF;
    }
    if (counts) ++bytes;
  }
  return (bytes + most - 1) / most;
}

std::string Tokenizer::decode_bytes(std::span<const TokenId> ids, bool skip_special) const {
  std::string bytes;
  tokenizer_detail::DecodePlace place;
  for (const TokenId id : ids) bytes += parts_->next_bytes(id, skip_special, place).value_or("");
  const std::string& strip = parts_->rules.strip_front;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < parts_->rules.strip_count; ++i) {
    if (bytes.compare(begin, strip.size(), strip) != 0) break;
    begin += strip.size();
  }
  return bytes.erase(0, begin);
}

std::string Tokenizer::decode(std::span<const TokenId> ids, bool skip_special) const {
  DecodeStream stream(*this, skip_special);
  std::string text;
  for (const TokenId id : ids) text += stream.push(id);
  return text += stream.finish();
}

int Tokenizer::token_count() const { return static_cast<int>(parts_->tokens.size()); }
int Tokenizer::vocab_size() const { return parts_->vocab_size; }
std::optional<TokenId> Tokenizer::bos() const { return parts_->bos; }
std::string Tokenizer::token_bytes(TokenId id) const { return parts_->token(id).bytes; }
bool Tokenizer::is_special(TokenId id) const { return parts_->token(id).is_special; }

std::unique_ptr<Tokenizer> make_tokenizer(const std::string& tokenizer_json_text,
                                          const std::string& where) {
  return make_tokenizer(kHuggingFaceTokenizer, tokenizer_json_text, 0, where);
}

std::unique_ptr<Tokenizer> make_tokenizer(std::string_view kind, std::string_view bytes,
                                          int vocab_size_hint, const std::string& where) {
  if (vocab_size_hint < 0) {
    throw UsageError(fmt::format("{}: a vocabulary of {} tokens", where, vocab_size_hint));
  }
  auto parts = std::make_unique<TokenizerParts>();
  if (kind == kHuggingFaceTokenizer) {
    *parts = tokenizer_detail::read_hugging_face(bytes, where);
  } else if (kind == kSentencePieceTokenizer) {
    *parts = tokenizer_detail::read_sentencepiece(bytes, where);
  } else if (kind == kSentencePieceBundle) {
    *parts = tokenizer_detail::read_sentencepiece_bundle(bytes, where);
  } else if (kind == kLlama2cTokenizer) {
    *parts = tokenizer_detail::read_llama2c(bytes, vocab_size_hint, where);
  } else {
    throw UsageError(fmt::format(
        "{}: tokenizer kind `{}` is unsupported, expected {}, {}, {} or {}", where, kind,
        kHuggingFaceTokenizer, kSentencePieceTokenizer, kSentencePieceBundle, kLlama2cTokenizer));
  }
  parts->vocab_size = std::max(static_cast<int>(parts->tokens.size()), vocab_size_hint);
  return std::make_unique<Tokenizer>(std::move(parts));
}

std::string_view tokenizer_kind_of(std::string_view path) {
  if (path.ends_with(".json")) return kHuggingFaceTokenizer;
  if (path.ends_with(".model")) return kSentencePieceTokenizer;
  if (path.ends_with(".bin")) return kLlama2cTokenizer;
  throw UsageError(
      fmt::format("{}: the kind of tokenizer is unknown, expected a name that ends in "
                  ".json, .model (SentencePiece) or .bin (llama2.c)",
                  path));
}

}  // namespace gridmill
