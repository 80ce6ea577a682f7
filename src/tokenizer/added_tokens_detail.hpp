#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "gridmill/base/ids.hpp"
#include "gridmill/base/json.hpp"
#include "tokenizer/longest_match_detail.hpp"

namespace gridmill::tokenizer_detail {

/// One entry of `added_tokens`.
struct AddedToken {
  TokenId id = 0;
  std::string content;
  bool special = false;
  bool normalized = false;   ///< searched in the normalised text, else in the raw one
  bool single_word = false;  ///< only where no word character touches it
  bool lstrip = false;       ///< takes the white space before it
  bool rstrip = false;       ///< takes the white space after it
};

/// Reads the array `added_tokens`; entries without content are left out, as the reference does.
/// @throws FormatError
[[nodiscard]] std::vector<AddedToken> read_added_tokens(const Json& root, int largest_id,
                                                        const std::string& where);

/// A stretch of text, or an added token found in it.
struct Segment {
  std::string_view text;
  std::optional<TokenId> id;
};

/// Cuts text at added tokens: the longest at the leftmost place. Source: `AddedVocabulary` of
/// Hugging Face tokenizers.
class AddedTokenFinder {
 public:
  void add(const AddedToken& token, std::string_view spelling, const std::string& where);
  [[nodiscard]] std::vector<Segment> segments(std::string_view text) const;

 private:
  LongestMatch spellings_;
  std::unordered_map<TokenId, AddedToken> tokens_;
};

}  // namespace gridmill::tokenizer_detail
