#include <algorithm>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "tokenizer/added_tokens_detail.hpp"
#include "tokenizer/json_fields_detail.hpp"
#include "tokenizer/unicode_detail.hpp"
#include "tokenizer/utf8_detail.hpp"

namespace gridmill::tokenizer_detail {
namespace {

bool is_word_at(std::string_view text, std::size_t begin) {
  const Utf8Unit unit = next_utf8(text, begin);
  return unit.well_formed && is_word_character(unit.code_point);
}

bool is_space_at(std::string_view text, std::size_t begin) {
  const Utf8Unit unit = next_utf8(text, begin);
  return unit.well_formed && is_white_space(unit.code_point);
}

bool touches_word(std::string_view text, std::size_t begin, std::size_t end) {
  return (begin > 0 && is_word_at(text, previous_utf8(text, begin))) ||
         (end < text.size() && is_word_at(text, end));
}

}  // namespace

std::vector<AddedToken> read_added_tokens(const Json& root, int largest_id,
                                          const std::string& where) {
  std::vector<AddedToken> tokens;
  if (!has(root, "added_tokens")) return tokens;
  for (const Json& entry : array_at(root, "added_tokens", where)) {
    const std::string place = fmt::format("{}: added_tokens[{}]", where, tokens.size());
    AddedToken token;
    token.content = text_at(entry, "content", place);
    if (!entry.contains("id")) throw FormatError(place + " has no field `id`");
    token.id = count_of(entry.at("id"), largest_id, place + ": id");
    token.special = flag_or(entry, "special", false, place);
    token.normalized = flag_or(entry, "normalized", !token.special, place);
    token.single_word = flag_or(entry, "single_word", false, place);
    token.lstrip = flag_or(entry, "lstrip", false, place);
    token.rstrip = flag_or(entry, "rstrip", false, place);
    if (!token.content.empty()) tokens.push_back(token);
  }
  return tokens;
}

void AddedTokenFinder::add(const AddedToken& token, std::string_view spelling,
                           const std::string& where) {
  spellings_.add(spelling, token.id, where);
  tokens_[token.id] = token;
}

std::vector<Segment> AddedTokenFinder::segments(std::string_view text) const {
  if (spellings_.empty()) return {{text, std::nullopt}};
  std::vector<Segment> result;
  std::size_t covered = 0;
  for (std::size_t i = 0; i < text.size();) {
    const std::optional<LongestMatch::Found> found = spellings_.at(text, i);
    if (!found) {
      ++i;
      continue;
    }
    std::size_t begin = i;
    std::size_t end = i + found->length;
    i = end;  // the search goes on here even if the token is refused or takes more space
    const AddedToken& token = tokens_.at(found->id);
    if (token.single_word && touches_word(text, begin, end)) continue;
    while (token.lstrip && begin > covered && is_space_at(text, previous_utf8(text, begin))) {
      begin = previous_utf8(text, begin);
    }
    while (token.rstrip && end < text.size() && is_space_at(text, end)) {
      end += next_utf8(text, end).length;
    }
    if (covered < begin) result.push_back({text.substr(covered, begin - covered), std::nullopt});
    result.push_back({text.substr(begin, end - begin), token.id});
    covered = end;
  }
  if (covered < text.size()) result.push_back({text.substr(covered), std::nullopt});
  return result;
}

}  // namespace gridmill::tokenizer_detail
