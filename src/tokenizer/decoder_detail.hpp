#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gridmill/base/ids.hpp"
#include "gridmill/base/json.hpp"
#include "tokenizer/metaspace.hpp"

namespace gridmill::tokenizer_detail {

/// Decoded text of one token.
struct DecodedToken {
  std::string bytes;
  /// The same as the first token of a text, if that differs.
  std::optional<std::string> bytes_at_start = std::nullopt;
  bool is_special = false;
  bool is_byte = false;   ///< a byte token such as `<0x0A>`
  bool is_taken = false;  ///< the file names this id
};

/// How tokens become text.
struct DecodeRules {
  /// Runs of byte tokens are judged as a whole: ill-formed anywhere, each byte becomes U+FFFD.
  bool byte_runs = false;
  /// Taken off the front of the text, at most `strip_count` times.
  std::string strip_front;
  std::size_t strip_count = 0;
  /// llama2.c: the token right after this one loses its leading space.
  std::optional<TokenId> no_space_after;
};

/// The `decoder` of a tokenizer.json: ByteLevel, or a Sequence of Replace or Metaspace,
/// ByteFallback, Fuse and Strip in this order, each optional.
class TokenDecoder {
 public:
  /// @throws FormatError, with the word `unsupported` for other types and orders.
  TokenDecoder(const Json& component, const std::string& where);

  /// Decoded text of a token of the vocabulary.
  [[nodiscard]] DecodedToken decode_token(std::string_view token) const;
  /// Decoded text of an added token: its own text.
  [[nodiscard]] DecodedToken decode_added_token(std::string_view content) const;
  [[nodiscard]] const DecodeRules& rules() const { return rules_; }

 private:
  struct Replacement {
    std::string pattern;
    std::string content;
  };
  std::string where_;
  bool is_byte_level_ = false;
  bool is_fused_ = false;
  std::vector<Replacement> replacements_;
  std::optional<Metaspace> metaspace_;  // the last of the replacements
  DecodeRules rules_;

  void add(const Json& component);
};

}  // namespace gridmill::tokenizer_detail
