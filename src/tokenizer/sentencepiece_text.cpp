#include "tokenizer/sentencepiece_text.hpp"

#include "tokenizer/utf8_detail.hpp"

namespace gridmill::tokenizer_detail {
namespace {

std::string apply_charsmap(const Charsmap& charsmap, std::string_view text,
                           const LongestMatch& kept) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    std::size_t length = next_utf8(text, i).length;
    std::string_view written = text.substr(i, length);
    if (const auto word = kept.empty() ? std::nullopt : kept.at(text, i)) {
      length = word->length;
      written = text.substr(i, length);
    } else if (const auto found = charsmap.longest_at(text.substr(i))) {
      length = found->length;
      written = found->replacement;
    }
    result += written;
    i += length;
  }
  return result;
}

}  // namespace

std::string write_for_pieces(const SentencePieceText& rules, std::string_view text,
                             const LongestMatch& kept, Stretch stretch) {
  if (text.empty()) return "";
  std::string mapped;
  if (rules.charsmap) {
    mapped = apply_charsmap(*rules.charsmap, text, kept);
    text = mapped;
  }
  if (rules.remove_extra_whitespaces) {
    const std::size_t first = text.find_first_not_of(' ');
    if (first == std::string_view::npos) return "";
    text = text.substr(first, text.find_last_not_of(' ') + 1 - first);
  }
  std::string result;
  result.reserve(text.size() + text.size() / 2);
  if (rules.dummy_prefix && stretch == Stretch::at_start) result += rules.space;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != ' ') {
      result += text[i];
    } else if (!rules.remove_extra_whitespaces || text[i - 1] != ' ') {
      result += rules.space;
    }
  }
  // SentencePiece looks for trailing spaces as they are written now, so a text's own U+2581 goes
  // too.
  while (rules.remove_extra_whitespaces && result.ends_with(rules.space)) {
    result.resize(result.size() - rules.space.size());
  }
  return result;
}

}  // namespace gridmill::tokenizer_detail
