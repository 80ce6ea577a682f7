#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "gridmill/base/ids.hpp"
#include "gridmill/base/json.hpp"
#include "tokenizer/merge_detail.hpp"
#include "tokenizer/text_encoder_detail.hpp"

namespace gridmill::tokenizer_detail {

/// The `model` of a tokenizer.json of type BPE: merges ranked by their place in the list.
/// Source: `BPE::merge_word` and `Word::merge_all` of Hugging Face tokenizers.
class BpeModel {
 public:
  /// @param is_byte_level  pieces are spelled in the byte-level alphabet.
  /// @throws FormatError, with the word `unsupported` for what gridmill does not run.
  BpeModel(const Json& model, bool is_byte_level, const std::string& where);

  /// Appends the ids of one piece of the pre-tokenizer.
  /// @throws FormatError if a symbol has no token and there is no unknown token.
  void append_ids(std::string_view piece, MergeScratch& scratch, std::vector<TokenId>& ids) const;
  /// Tokens as the file spells them.
  [[nodiscard]] const TextMap<TokenId>& vocabulary() const { return vocabulary_; }
  [[nodiscard]] std::optional<TokenId> find(std::string_view token) const;
  /// Bytes of the longest token; 0 if there are characters without a token.
  [[nodiscard]] std::size_t most_bytes_of_an_id() const;

 private:
  struct RankedMerge {
    double rank;
    TokenId id;
  };
  std::string where_;
  TextMap<TokenId> vocabulary_;
  std::unordered_map<std::uint64_t, RankedMerge> merges_;  // by (left id, right id)
  bool is_byte_level_;
  bool ignore_merges_;  // a piece that is a token needs no merges
  bool fuse_unknown_;   // neighbouring unknown symbols are one unknown token
  std::optional<TokenId> unknown_;
  std::array<TokenId, 256> byte_symbols_{};  // byte-level alphabet; kNoToken if missing
  std::optional<ByteTokens> fallback_;       // `byte_fallback`; kNoToken if missing

  void read_vocabulary(const Json& model);
  void read_merges(const Json& model);
  void add_merge(std::string_view left, std::string_view right, std::size_t rank);
  [[nodiscard]] bool add_fallback_symbols(std::string_view piece, std::size_t begin,
                                          std::size_t length, MergeScratch& scratch) const;
  void add_unknown_symbol(std::string_view piece, std::size_t begin, std::size_t length,
                          bool continues, MergeScratch& scratch) const;
  void add_symbols(std::string_view piece, MergeScratch& scratch) const;
};

}  // namespace gridmill::tokenizer_detail
