#include <algorithm>
#include <cmath>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "tokenizer/sentencepiece_bpe_detail.hpp"
#include "tokenizer/utf8_detail.hpp"

namespace gridmill::tokenizer_detail {

void SentencePieceBpe::add_piece(std::string_view piece, TokenId id, float score) {
  if (piece.empty() || piece.size() > LongestMatch::kLongestWord) {
    throw FormatError(fmt::format("{}: token {} has {} bytes, expected 1 to {}", where_, id,
                                  piece.size(), LongestMatch::kLongestWord));
  }
  if (std::isnan(score)) {
    throw FormatError(fmt::format("{}: the score of token {} is not a number", where_, id));
  }
  pieces_.emplace(piece, Piece{id, -static_cast<double>(score)});
  longest_ = std::max(longest_, piece.size());
}

void SentencePieceBpe::add_user_defined(std::string_view piece, TokenId id) {
  user_defined_.add(piece, id, where_);
  longest_user_defined_ = std::max(longest_user_defined_, piece.size());
}

std::size_t SentencePieceBpe::most_bytes_of_an_id() const {
  if (!bytes_ || text_.charsmap != nullptr) return 0;
  return std::max(longest_, longest_user_defined_);
}

std::vector<TokenId> SentencePieceBpe::encode(std::string_view text, Stretch stretch) const {
  const std::string whole = write_for_pieces(text_, text, user_defined_, stretch);
  const std::string_view rest = whole;
  std::vector<TokenId> ids;
  MergeScratch scratch;
  std::size_t begin = 0;  // of what is not encoded yet
  for (std::size_t i = 0; !user_defined_.empty() && i < rest.size();) {
    const std::optional<LongestMatch::Found> found = user_defined_.at(rest, i);
    if (found) {
      append_ids(rest.substr(begin, i - begin), scratch, ids);
      ids.push_back(found->id);
      i += found->length;
      begin = i;
    } else {
      ++i;
    }
  }
  append_ids(rest.substr(begin), scratch, ids);
  return ids;
}

void SentencePieceBpe::append_ids(std::string_view text, MergeScratch& scratch,
                                  std::vector<TokenId>& ids) const {
  scratch.clear();
  const auto id_of = [this](std::string_view piece) {
    const auto found = pieces_.find(piece);
    return found == pieces_.end() ? kNoToken : found->second.id;
  };
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Unit unit = next_utf8(text, i);
    const std::size_t length = unit.well_formed ? unit.length : 1;
    scratch.add_symbol(i, length, unit.well_formed ? id_of(text.substr(i, length)) : kNoToken);
    i += length;
  }
  merge_symbols(scratch,
                [this, text](const Symbol& left, const Symbol& right) -> std::optional<Merge> {
                  const std::size_t length = left.length + right.length;
                  if (length > longest_) return std::nullopt;
                  const auto found = pieces_.find(text.substr(left.begin, length));
                  if (found == pieces_.end()) return std::nullopt;
                  return Merge{found->second.priority, found->second.id};
                });
  bool after_unknown = false;
  for (const Symbol& symbol : scratch.symbols) {
    if (symbol.length == 0) continue;
    if (symbol.id == kNoToken) {
      append_unknown(text.substr(symbol.begin, symbol.length), after_unknown, ids);
    } else {
      ids.push_back(symbol.id);
    }
    after_unknown = symbol.id == kNoToken;
  }
}

void SentencePieceBpe::append_unknown(std::string_view symbol, bool continues,
                                      std::vector<TokenId>& ids) const {
  if (bytes_) {
    for (const char byte : symbol) ids.push_back((*bytes_)[static_cast<std::uint8_t>(byte)]);
  } else if (unknown_) {
    if (!continues) ids.push_back(*unknown_);
  } else {
    throw InternalError(where_ + ": neither byte tokens nor an unknown token");
  }
}

}  // namespace gridmill::tokenizer_detail
