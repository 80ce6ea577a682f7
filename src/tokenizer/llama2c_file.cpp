#include <bit>
#include <cstdint>
#include <utility>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "tokenizer/parts_detail.hpp"
#include "tokenizer/sentencepiece_bpe_detail.hpp"

namespace gridmill::tokenizer_detail {
namespace {

// The fixed part of every such vocabulary.
constexpr TokenId kUnknown = 0;
constexpr TokenId kBegin = 1;
constexpr TokenId kEnd = 2;
constexpr TokenId kFirstByte = 3;
constexpr TokenId kFirstPiece = kFirstByte + 256;

class Reader {
 public:
  Reader(std::string_view bytes, const std::string& where) : rest_(bytes), where_(where) {}

  [[nodiscard]] bool at_end() const { return rest_.empty(); }
  [[nodiscard]] std::size_t left() const { return rest_.size(); }

  std::uint32_t take_u32() {
    const std::string_view bytes = take(4);
    std::uint32_t value = 0;
    for (unsigned i = 0; i < 4; ++i) {
      value |= std::uint32_t{static_cast<std::uint8_t>(bytes[i])} << (8 * i);
    }
    return value;
  }

  std::string_view take(std::size_t size) {
    if (size > rest_.size()) {
      throw FormatError(fmt::format("{}: the file ends inside a token: {} bytes wanted, {} left",
                                    where_, size, rest_.size()));
    }
    const std::string_view bytes = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return bytes;
  }

 private:
  std::string_view rest_;
  const std::string& where_;
};

DecodedToken decoded_token(std::string_view piece, TokenId id, const std::string& where) {
  DecodedToken token;
  token.bytes = piece;
  token.is_taken = true;
  token.is_special = id == kUnknown || id == kBegin || id == kEnd;
  if (id >= kFirstByte && id < kFirstPiece) {
    const auto value = static_cast<unsigned>(id - kFirstByte);
    if (piece != byte_token_name(value)) {
      throw FormatError(fmt::format("{}: token {} should be {}; is this a llama2.c tokenizer?",
                                    where, id, byte_token_name(value)));
    }
    token.bytes = std::string(1, static_cast<char>(value));
    token.is_byte = true;
  }
  return token;
}

}  // namespace

TokenizerParts read_llama2c(std::string_view bytes, int vocab_size, const std::string& where) {
  Reader reader(bytes, where);
  const std::uint32_t longest = reader.take_u32();
  auto encoder = std::make_unique<SentencePieceBpe>(
      SentencePieceText{
          .space = kPlainSpace, .dummy_prefix = true, .remove_extra_whitespaces = false},
      where);
  TokenizerParts parts;
  while (!reader.at_end()) {
    const auto id = static_cast<TokenId>(parts.tokens.size());
    if (id == kMostTokens) throw FormatError(fmt::format("{}: more than {} tokens", where, id));
    const float score = std::bit_cast<float>(reader.take_u32());
    const std::uint32_t length = reader.take_u32();
    if (length > longest) {
      throw FormatError(fmt::format("{}: token {} has {} bytes, the longest should have {}", where,
                                    id, length, longest));
    }
    const std::string_view piece = reader.take(length);
    if (id >= kFirstPiece) encoder->add_piece(piece, id, score);
    parts.tokens.push_back(decoded_token(piece, id, where));
  }
  const int found = static_cast<int>(parts.tokens.size());
  if (found < kFirstPiece || (vocab_size != 0 && found != vocab_size)) {
    throw FormatError(fmt::format("{}: {} tokens, expected {}{}", where, found,
                                  vocab_size != 0 ? "" : "at least ",
                                  vocab_size != 0 ? vocab_size : kFirstPiece));
  }
  ByteTokens byte_tokens{};
  for (int value = 0; value < 256; ++value) byte_tokens[value] = kFirstByte + value;
  encoder->set_byte_tokens(byte_tokens);
  parts.encoder = std::move(encoder);
  parts.rules.no_space_after = kBegin;
  parts.bos = kBegin;
  parts.prefix = {kBegin};
  return parts;
}

}  // namespace gridmill::tokenizer_detail
