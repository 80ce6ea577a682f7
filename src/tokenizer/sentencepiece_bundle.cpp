#include <algorithm>
#include <cstddef>
#include <utility>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/json.hpp"
#include "tokenizer/added_tokens_detail.hpp"
#include "tokenizer/json_fields_detail.hpp"
#include "tokenizer/parts_detail.hpp"

namespace gridmill::tokenizer_detail {
namespace {

/// Cuts added tokens out of the text before SentencePiece sees the stretches between them.
class AddedTokensEncoder : public TextEncoder {
 public:
  AddedTokensEncoder(std::unique_ptr<const TextEncoder> inner, AddedTokenFinder added,
                     std::size_t longest_added, bool every_stretch_starts)
      : inner_(std::move(inner)),
        added_(std::move(added)),
        longest_added_(longest_added),
        every_stretch_starts_(every_stretch_starts) {}

  [[nodiscard]] std::vector<TokenId> encode(std::string_view text, Stretch stretch) const override {
    std::vector<TokenId> ids;
    for (const Segment& segment : added_.segments(text)) {
      if (segment.id) {
        ids.push_back(*segment.id);
        continue;
      }
      const bool first = stretch == Stretch::at_start && segment.text.data() == text.data();
      const std::vector<TokenId> inside = inner_->encode(
          segment.text, first || every_stretch_starts_ ? Stretch::at_start : Stretch::within);
      ids.insert(ids.end(), inside.begin(), inside.end());
    }
    return ids;
  }
  [[nodiscard]] std::size_t most_bytes_of_an_id() const override {
    const std::size_t most = inner_->most_bytes_of_an_id();
    return most == 0 ? 0 : std::max(most, longest_added_);
  }

 private:
  std::unique_ptr<const TextEncoder> inner_;
  AddedTokenFinder added_;
  std::size_t longest_added_;
  bool every_stretch_starts_;
};

/// The id of the special token that `field` names, else `fallback`.
std::optional<TokenId> special_of(const Json& settings, const char* field,
                                  std::optional<TokenId> fallback, const TokenizerParts& parts,
                                  const std::string& where) {
  const std::string name = text_or(settings, field, "", where);
  if (name.empty()) return fallback;
  const auto found = std::find_if(
      parts.tokens.begin(), parts.tokens.end(),
      [&name](const DecodedToken& token) { return token.is_taken && token.bytes == name; });
  if (found == parts.tokens.end()) {
    throw FormatError(fmt::format("{}: {} `{}` is no token", where, field, name));
  }
  return static_cast<TokenId>(found - parts.tokens.begin());
}

}  // namespace

TokenizerParts read_sentencepiece_bundle(std::string_view bytes, const std::string& where) {
  const std::size_t end = bytes.find('\n');
  if (end == std::string_view::npos) throw FormatError(where + ": the line of settings is missing");
  const std::string place = where + ": settings";
  const Json settings = parse_json(bytes.substr(0, end), place);
  if (!settings.is_object()) throw FormatError(place + ": expected a JSON object");
  TokenizerParts parts = read_sentencepiece(bytes.substr(end + 1), where);

  AddedTokenFinder finder;
  std::size_t longest = 0;
  for (const AddedToken& token : read_added_tokens(settings, kMostTokens - 1, place)) {
    finder.add(token, token.content, place);
    longest = std::max(longest, token.content.size());
    const auto index = static_cast<std::size_t>(token.id);
    if (index >= parts.tokens.size()) parts.tokens.resize(index + 1);
    // A token may take the id of a piece: the piece is still made, and reads as the token does.
    parts.tokens[index] = {.bytes = token.content, .is_special = token.special, .is_taken = true};
  }
  parts.encoder =
      std::make_unique<AddedTokensEncoder>(std::move(parts.encoder), std::move(finder), longest,
                                           flag_or(settings, "prefix_every_stretch", false, place));

  parts.bos = special_of(settings, "bos_token", parts.bos, parts, place);
  const std::optional<TokenId> eos = special_of(settings, "eos_token", parts.eos, parts, place);
  const auto add = [&](const char* flag, bool fallback, std::optional<TokenId> id,
                       std::vector<TokenId>& ids) {
    ids.clear();
    if (!flag_or(settings, flag, fallback, place)) return;
    if (id) {
      ids.push_back(*id);
    } else if (has(settings, flag)) {
      throw FormatError(fmt::format("{}: {} is true, but there is no such token", place, flag));
    }
  };
  add("add_bos_token", true, parts.bos, parts.prefix);
  add("add_eos_token", false, eos, parts.suffix);
  return parts;
}

}  // namespace gridmill::tokenizer_detail
