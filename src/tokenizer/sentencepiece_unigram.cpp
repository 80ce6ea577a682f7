#include "tokenizer/sentencepiece_unigram.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill::tokenizer_detail {

void SentencePieceUnigram::add_piece(std::string_view piece, TokenId id, float score) {
  if (!std::isfinite(score)) {
    throw FormatError(fmt::format("{}: the score of token {} is not finite", where_, id));
  }
  pieces_.add(piece, id, score, where_);
  longest_ = std::max(longest_, piece.size());
  pieces_.count_score(score);
  best_score_ = has_piece_ ? std::max(best_score_, score) : score;
  has_piece_ = true;
}

void SentencePieceUnigram::add_user_defined(std::string_view piece, TokenId id) {
  kept_.add(piece, id, where_);
  longest_ = std::max(longest_, piece.size());
  user_defined_.emplace_back(piece, id);
}

void SentencePieceUnigram::finish() {
  if (!has_piece_) throw FormatError(where_ + ": no piece of the type `normal`");
  for (const auto& [piece, id] : user_defined_) {
    const float long_score = static_cast<float>(piece.size()) * best_score_;
    pieces_.add(piece, id, static_cast<double>(long_score) - 0.1, where_);
  }
}

std::size_t SentencePieceUnigram::most_bytes_of_an_id() const {
  return bytes_ && text_.charsmap == nullptr ? longest_ : 0;
}

std::vector<TokenId> SentencePieceUnigram::encode(std::string_view text, Stretch stretch) const {
  const std::string written = write_for_pieces(text_, text, kept_, stretch);
  std::vector<ViterbiPieces<float>::Part> parts;
  pieces_.append_best_path(written, parts);
  std::vector<TokenId> ids;
  bool after_unknown = false;
  for (const auto& part : parts) {
    const bool is_unknown = part.id == kNoToken;
    if (!is_unknown) {
      ids.push_back(part.id);
    } else if (bytes_) {
      for (const char byte : std::string_view(written).substr(part.begin, part.length)) {
        ids.push_back((*bytes_)[static_cast<std::uint8_t>(byte)]);
      }
    } else if (unknown_) {
      if (!after_unknown) ids.push_back(*unknown_);
    } else {
      throw InternalError(where_ + ": neither byte tokens nor an unknown token");
    }
    after_unknown = is_unknown;
  }
  return ids;
}

}  // namespace gridmill::tokenizer_detail
