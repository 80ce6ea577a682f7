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
}

std::string SentencePieceBpe::written(std::string_view text) const {
  if (text_.remove_extra_whitespaces) {
    const std::size_t first = text.find_first_not_of(' ');
    if (first == std::string_view::npos) return "";
    text = text.substr(first, text.find_last_not_of(' ') + 1 - first);
  }
  if (text.empty()) return "";
  std::string result;
  result.reserve(text.size() + text.size() / 2);
  if (text_.dummy_prefix) result += text_.space;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != ' ') {
      result += text[i];
    } else if (!text_.remove_extra_whitespaces || text[i - 1] != ' ') {
      result += text_.space;
    }
  }
  // SentencePiece looks for trailing spaces as they are written now, so a text's own U+2581 goes
  // too.
  while (text_.remove_extra_whitespaces && result.ends_with(text_.space)) {
    result.resize(result.size() - text_.space.size());
  }
  return result;
}

std::vector<TokenId> SentencePieceBpe::encode(std::string_view text) const {
  const std::string whole = written(text);
  const std::string_view rest = whole;
  std::vector<TokenId> ids;
  MergeScratch scratch;
  std::size_t stretch = 0;
  for (std::size_t i = 0; !user_defined_.empty() && i < rest.size();) {
    const std::optional<LongestMatch::Found> found = user_defined_.at(rest, i);
    if (found) {
      append_ids(rest.substr(stretch, i - stretch), scratch, ids);
      ids.push_back(found->id);
      i += found->length;
      stretch = i;
    } else {
      ++i;
    }
  }
  append_ids(rest.substr(stretch), scratch, ids);
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
