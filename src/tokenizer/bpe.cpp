#include <algorithm>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "tokenizer/bpe_detail.hpp"
#include "tokenizer/byte_level_detail.hpp"
#include "tokenizer/json_fields_detail.hpp"
#include "tokenizer/utf8_detail.hpp"

namespace gridmill::tokenizer_detail {
namespace {

std::uint64_t pair_key(TokenId left, TokenId right) {
  return (static_cast<std::uint64_t>(left) << 32) | static_cast<std::uint32_t>(right);
}

void refuse_unsupported_fields(const Json& model, const std::string& where) {
  if (has(model, "dropout") && model.at("dropout") != 0) {
    throw FormatError(where + ": `dropout` is unsupported; set it to null");
  }
  for (const char* field : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!text_or(model, field, "", where).empty()) {
      throw FormatError(fmt::format("{}: `{}` is unsupported", where, field));
    }
  }
}

}  // namespace

BpeModel::BpeModel(const Json& model, bool is_byte_level, const std::string& where)
    : where_(where), is_byte_level_(is_byte_level) {
  refuse_unsupported_fields(model, where);
  ignore_merges_ = flag_or(model, "ignore_merges", false, where);
  fuse_unknown_ = flag_or(model, "fuse_unk", false, where);
  read_vocabulary(model);
  read_merges(model);
  const std::string unknown = text_or(model, "unk_token", "", where);
  if (!unknown.empty()) {
    unknown_ = find(unknown);
    if (!unknown_) {
      throw FormatError(fmt::format("{}: unk_token `{}` is not in `vocab`", where, unknown));
    }
  }
  for (unsigned byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    byte_symbols_[byte] = find(to_byte_level(std::string_view(&c, 1))).value_or(kNoToken);
  }
  if (flag_or(model, "byte_fallback", false, where)) {
    fallback_.emplace();
    for (unsigned byte = 0; byte < 256; ++byte) {
      (*fallback_)[byte] = find(byte_token_name(byte)).value_or(kNoToken);
    }
  }
}

void BpeModel::read_vocabulary(const Json& model) {
  const Json& vocabulary = object_at(model, "vocab", where_);
  vocabulary_.reserve(vocabulary.size());
  for (const auto& [token, id] : vocabulary.items()) {
    vocabulary_.emplace(token, count_of(id, kMostTokens - 1, where_ + ": id of a token in vocab"));
  }
}

void BpeModel::read_merges(const Json& model) {
  std::size_t rank = 0;
  for (const Json& merge : array_at(model, "merges", where_)) {
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      add_merge(merge[0].get_ref<const std::string&>(), merge[1].get_ref<const std::string&>(),
                rank);
    } else if (merge.is_string()) {
      const std::string& pair = merge.get_ref<const std::string&>();
      const std::size_t space = pair.find(' ');
      if (space == std::string::npos || pair.find(' ', space + 1) != std::string::npos) {
        throw FormatError(
            fmt::format("{}: merges[{}] is \"{}\", expected two tokens with a space "
                        "between them",
                        where_, rank, pair));
      }
      add_merge(std::string_view(pair).substr(0, space), std::string_view(pair).substr(space + 1),
                rank);
    } else {
      throw FormatError(
          fmt::format("{}: merges[{}] is neither \"left right\" nor [left, right]", where_, rank));
    }
    ++rank;
  }
}

void BpeModel::add_merge(std::string_view left, std::string_view right, std::size_t rank) {
  const auto id_of = [this, rank](std::string_view token) {
    const std::optional<TokenId> id = find(token);
    if (!id) {
      throw FormatError(fmt::format("{}: merges[{}] needs the token `{}`, which is not in `vocab`",
                                    where_, rank, token));
    }
    return *id;
  };
  const std::uint64_t pair = pair_key(id_of(left), id_of(right));
  const TokenId merged = id_of(std::string(left) + std::string(right));
  // The last one of equal pairs counts, as in the reference library.
  merges_.insert_or_assign(pair, RankedMerge{static_cast<double>(rank), merged});
}

std::optional<TokenId> BpeModel::find(std::string_view token) const {
  const auto found = vocabulary_.find(token);
  if (found == vocabulary_.end()) return std::nullopt;
  return found->second;
}

std::size_t BpeModel::most_bytes_of_an_id() const {
  const auto complete = [](const auto& tokens) {
    return std::find(tokens.begin(), tokens.end(), kNoToken) == tokens.end();
  };
  if (is_byte_level_ ? !complete(byte_symbols_) : !fallback_ || !complete(*fallback_)) return 0;
  std::size_t longest = 0;
  for (const auto& [token, id] : vocabulary_) longest = std::max(longest, token.size());
  return longest;
}

bool BpeModel::add_fallback_symbols(std::string_view piece, std::size_t begin, std::size_t length,
                                    MergeScratch& scratch) const {
  if (!fallback_) return false;
  const auto token_of = [this](char c) { return (*fallback_)[static_cast<std::uint8_t>(c)]; };
  const std::string_view symbol = piece.substr(begin, length);
  const bool complete =
      std::all_of(symbol.begin(), symbol.end(), [&](char c) { return token_of(c) != kNoToken; });
  if (!complete) return false;
  for (std::size_t i = 0; i < length; ++i) scratch.add_symbol(begin + i, 1, token_of(symbol[i]));
  return true;
}

void BpeModel::add_unknown_symbol(std::string_view piece, std::size_t begin, std::size_t length,
                                  bool continues, MergeScratch& scratch) const {
  if (!unknown_) {
    const std::string_view symbol = piece.substr(begin, length);
    const bool is_character = !is_byte_level_ && is_well_formed_utf8(symbol);
    throw FormatError(fmt::format(
        "{}: no token for {} and no unk_token; the text cannot be written with this vocabulary",
        where_,
        is_character ? fmt::format("`{}`", symbol)
                     : fmt::format("byte 0x{:02X}", static_cast<std::uint8_t>(symbol.front()))));
  }
  if (fuse_unknown_ && continues) {
    scratch.symbols.back().length += static_cast<std::uint32_t>(length);
  } else {
    scratch.add_symbol(begin, length, *unknown_);
  }
}

void BpeModel::add_symbols(std::string_view piece, MergeScratch& scratch) const {
  bool after_unknown = false;
  for (std::size_t i = 0; i < piece.size();) {
    std::size_t length = 1;
    std::optional<TokenId> id;
    if (is_byte_level_) {
      const TokenId symbol = byte_symbols_[static_cast<std::uint8_t>(piece[i])];
      if (symbol != kNoToken) id = symbol;
    } else if (const Utf8Unit unit = next_utf8(piece, i); unit.well_formed) {
      length = unit.length;
      id = find(piece.substr(i, length));
    }
    if (id) scratch.add_symbol(i, length, *id);
    const bool is_unknown = !id && !add_fallback_symbols(piece, i, length, scratch);
    if (is_unknown) add_unknown_symbol(piece, i, length, after_unknown, scratch);
    after_unknown = is_unknown;
    i += length;
  }
}

void BpeModel::append_ids(std::string_view piece, MergeScratch& scratch,
                          std::vector<TokenId>& ids) const {
  if (ignore_merges_) {
    const std::optional<TokenId> whole = is_byte_level_ ? find(to_byte_level(piece)) : find(piece);
    if (whole) {
      ids.push_back(*whole);
      return;
    }
  }
  scratch.clear();
  add_symbols(piece, scratch);
  merge_symbols(scratch, [this](const Symbol& left, const Symbol& right) -> std::optional<Merge> {
    const auto found = merges_.find(pair_key(left.id, right.id));
    if (found == merges_.end()) return std::nullopt;
    return Merge{found->second.rank, found->second.id};
  });
  for (const Symbol& symbol : scratch.symbols) {
    if (symbol.length > 0) ids.push_back(symbol.id);
  }
}

}  // namespace gridmill::tokenizer_detail
