#include "tokenizer/unigram.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "tokenizer/byte_level_detail.hpp"
#include "tokenizer/json_fields_detail.hpp"

namespace gridmill::tokenizer_detail {

UnigramModel::UnigramModel(const Json& model, bool is_byte_level, const std::string& where)
    : where_(where), is_byte_level_(is_byte_level) {
  const Json& vocabulary = array_at(model, "vocab", where);
  if (vocabulary.empty() || vocabulary.size() > static_cast<std::size_t>(kMostTokens)) {
    throw FormatError(fmt::format("{}: `vocab` has {} tokens, expected 1 to {}", where,
                                  vocabulary.size(), kMostTokens));
  }
  tokens_.reserve(vocabulary.size());
  for (const Json& entry : vocabulary) {
    const auto id = static_cast<TokenId>(tokens_.size());
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number()) {
      throw FormatError(fmt::format("{}: vocab[{}] is not [piece, score]", where, id));
    }
    const auto& token = tokens_.emplace_back(entry[0].get_ref<const std::string&>());
    const auto score = entry[1].get<double>();
    if (!std::isfinite(score)) {
      throw FormatError(fmt::format("{}: the score of vocab[{}] is not finite", where, id));
    }
    ids_.insert_or_assign(token, id);
    pieces_.count_score(score);
    if (!token.empty()) pieces_.add(token, id, score, where);
  }
  if (has(model, "unk_id")) {
    unknown_ =
        count_of(model.at("unk_id"), static_cast<int>(tokens_.size()) - 1, where + ": unk_id");
  }
  if (flag_or(model, "byte_fallback", false, where)) {
    bytes_.emplace();
    for (unsigned byte = 0; byte < 256; ++byte) {
      (*bytes_)[byte] = find(byte_token_name(byte)).value_or(kNoToken);
    }
  }
}

std::optional<TokenId> UnigramModel::find(std::string_view token) const {
  const auto found = ids_.find(token);
  if (found == ids_.end()) return std::nullopt;
  return found->second;
}

void UnigramModel::append_ids(std::string_view piece, std::vector<TokenId>& ids) const {
  const std::string spelled = is_byte_level_ ? to_byte_level(piece) : std::string();
  const std::string_view text = is_byte_level_ ? std::string_view(spelled) : piece;
  std::vector<ViterbiPieces<double>::Part> parts;
  pieces_.append_best_path(text, parts);
  std::size_t run_begin = 0;  // of adjacent unknown characters
  std::size_t run_length = 0;
  const auto end_run = [&] {
    if (run_length > 0) append_unknown(text.substr(run_begin, run_length), ids);
    run_length = 0;
  };
  for (const auto& part : parts) {
    // The unknown token itself, where a text spells it, is unknown text, too.
    if (part.id == kNoToken || part.id == unknown_) {
      if (run_length == 0) run_begin = part.begin;
      run_length += part.length;
    } else {
      end_run();
      ids.push_back(part.id);
    }
  }
  end_run();
}

std::size_t UnigramModel::most_bytes_of_an_id() const {
  if (!bytes_ || std::find(bytes_->begin(), bytes_->end(), kNoToken) != bytes_->end()) return 0;
  std::size_t longest = 0;
  for (const std::string& token : tokens_) longest = std::max(longest, token.size());
  return longest;
}

void UnigramModel::append_unknown(std::string_view run, std::vector<TokenId>& ids) const {
  if (const std::optional<TokenId> whole = find(run)) {
    ids.push_back(*whole);
    return;
  }
  if (bytes_) {
    std::vector<TokenId> spelled;
    for (const char byte : run) spelled.push_back((*bytes_)[static_cast<std::uint8_t>(byte)]);
    if (std::find(spelled.begin(), spelled.end(), kNoToken) == spelled.end()) {
      ids.insert(ids.end(), spelled.begin(), spelled.end());
      return;
    }
  }
  if (!unknown_) {
    throw FormatError(fmt::format(
        "{}: no token for {} and no unk_id; the text cannot be written with this vocabulary",
        where_,
        is_well_formed_utf8(run)
            ? fmt::format("`{}`", run.substr(0, next_utf8(run, 0).length))
            : fmt::format("byte 0x{:02X}", static_cast<std::uint8_t>(run.front()))));
  }
  ids.push_back(*unknown_);
}

}  // namespace gridmill::tokenizer_detail
