#include "tokenizer/sentencepiece_text.hpp"

#include <cstddef>

#include "tokenizer/utf8_detail.hpp"

namespace gridmill::tokenizer_detail {
namespace {

/// A step through a text: how many bytes it takes and what they become.
struct Chunk {
  std::size_t length;
  std::string_view written;
};

Chunk chunk_at(const SentencePieceText& rules, std::string_view text, std::size_t at,
               const LongestMatch& kept) {
  if (!kept.empty()) {
    if (const auto word = kept.at(text, at)) return {word->length, text.substr(at, word->length)};
  }
  if (rules.charsmap) {
    if (const auto found = rules.charsmap->longest_at(text.substr(at))) {
      return {found->length, found->replacement};
    }
  }
  const std::size_t length = next_utf8(text, at).length;
  return {length, text.substr(at, length)};
}

}  // namespace

std::string write_for_pieces(const SentencePieceText& rules, std::string_view text,
                             const LongestMatch& kept, Stretch stretch) {
  std::size_t at = 0;
  while (rules.remove_extra_whitespaces && at < text.size()) {
    const Chunk chunk = chunk_at(rules, text, at, kept);
    if (chunk.written != " ") break;
    at += chunk.length;
  }
  if (at == text.size()) return "";
  std::string result;
  result.reserve(text.size() + text.size() / 2);
  if (rules.dummy_prefix && stretch == Stretch::at_start) result += rules.space;
  bool after_space = rules.remove_extra_whitespaces;
  while (at < text.size()) {
    auto [length, written] = chunk_at(rules, text, at, kept);
    while (after_space && written.starts_with(' ')) written.remove_prefix(1);
    for (const char c : written) {
      if (c == ' ') {
        result += rules.space;
      } else {
        result += c;
      }
    }
    if (!written.empty()) {
      after_space = rules.remove_extra_whitespaces && written.ends_with(' ');
    }
    at += length;
  }
  // SentencePiece looks for trailing spaces as they are written now, so a text's own U+2581 goes
  // too.
  while (rules.remove_extra_whitespaces && result.ends_with(rules.space)) {
    result.resize(result.size() - rules.space.size());
  }
  return result;
}

}  // namespace gridmill::tokenizer_detail
