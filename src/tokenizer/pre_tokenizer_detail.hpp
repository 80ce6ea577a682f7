#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gridmill/base/json.hpp"
#include "tokenizer/regex_detail.hpp"

namespace gridmill::tokenizer_detail {

/// What becomes of a match of a `Split`.
enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

/// Applies a behaviour to the cuts of a text.
[[nodiscard]] std::vector<TextCut> apply_behavior(std::vector<TextCut> cuts,
                                                  SplitBehavior behavior);

/// The `pre_tokenizer` of a tokenizer.json: Sequence, Split, Digits and ByteLevel (last). Tokens
/// never cross the borders of pieces.
class PreTokenizer {
 public:
  PreTokenizer() = default;  ///< one piece
  /// @throws FormatError, with the word `unsupported` for other types.
  PreTokenizer(const Json& component, std::string where);

  /// Pieces of `text`, without empty ones. They point into `text`, or into `storage` if the text
  /// had to be changed.
  [[nodiscard]] std::vector<std::string_view> operator()(std::string_view text,
                                                         std::vector<std::string>& storage) const;
  /// Pieces are to be spelled in the byte-level alphabet.
  [[nodiscard]] bool is_byte_level() const { return is_byte_level_; }

 private:
  struct Split {
    Regex pattern;
    SplitBehavior behavior;
    bool invert;
  };
  struct Digits {
    bool individual;
  };
  struct LeadingSpace {};  // ByteLevel's add_prefix_space
  std::string where_;
  bool is_byte_level_ = false;
  std::vector<std::variant<Split, Digits, LeadingSpace>> steps_;

  void add(const Json& component);
  void add_byte_level(const Json& component, const std::string& place);
};

}  // namespace gridmill::tokenizer_detail
