#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "gridmill/base/ids.hpp"
#include "tokenizer/longest_match_detail.hpp"
#include "tokenizer/merge_detail.hpp"
#include "tokenizer/utf8_detail.hpp"

namespace gridmill::tokenizer_detail {

/// Pieces with scores, of which the path with the largest sum is taken (Viterbi). A character
/// without a piece of its own costs the smallest score minus 10. Source: `EncodeOptimized` of
/// SentencePiece, `Unigram::encode_optimized` of Hugging Face tokenizers.
///
/// @tparam Sum  type in which sums are kept: float as SentencePiece does, double as the others do.
///         Where two paths have nearly equal sums it decides.
template <typename Sum>
class ViterbiPieces {
 public:
  struct Part {
    std::size_t begin;
    std::size_t length;
    TokenId id;  ///< kNoToken: an unknown character
  };

  /// The last one of equal pieces counts.
  /// @throws FormatError if the piece is empty or too long.
  void add(std::string_view piece, TokenId id, double score, const std::string& where) {
    words_.add(piece, id, where);
    const auto index = static_cast<std::size_t>(id);
    if (index >= scores_.size()) scores_.resize(index + 1);
    scores_[index] = score;
  }
  /// A score that may be the smallest, also of a token that is no piece.
  void count_score(double score) { smallest_ = std::min(smallest_, score); }

  /// Appends the parts of the best path through `text`.
  void append_best_path(std::string_view text, std::vector<Part>& parts) const {
    struct Node {
      Sum sum = 0;
      TokenId id = kNoToken;
      std::uint32_t length = 0;  // 0 = not reached
    };
    constexpr double kUnknownPenalty = 10;
    const auto unknown = static_cast<Sum>(smallest_ - kUnknownPenalty);
    std::vector<Node> ends(text.size() + 1);
    for (std::size_t at = 0; at < text.size();) {
      const Sum so_far = ends[at].sum;
      const Utf8Unit unit = next_utf8(text, at);
      const std::size_t character = unit.well_formed ? unit.length : 1;
      const auto consider = [&ends, at](std::size_t length, TokenId id, double sum) {
        Node& node = ends[at + length];
        if (node.length == 0 || sum > static_cast<double>(node.sum)) {
          node = {static_cast<Sum>(sum), id, static_cast<std::uint32_t>(length)};
        }
      };
      bool is_known = false;
      words_.each_at(text, at, [&](const LongestMatch::Found& found) {
        const double score = scores_[static_cast<std::size_t>(found.id)];
        consider(found.length, found.id, score + static_cast<double>(so_far));
        is_known = is_known || found.length == character;
      });
      if (!is_known) consider(character, kNoToken, static_cast<double>(unknown + so_far));
      at += character;
    }
    const std::size_t first = parts.size();
    for (std::size_t end = text.size(); end > 0; end -= ends[end].length) {
      parts.push_back({end - ends[end].length, ends[end].length, ends[end].id});
    }
    std::reverse(parts.begin() + static_cast<std::ptrdiff_t>(first), parts.end());
  }

 private:
  LongestMatch words_;
  std::vector<double> scores_;  // by id
  double smallest_ = std::numeric_limits<double>::infinity();
};

}  // namespace gridmill::tokenizer_detail
