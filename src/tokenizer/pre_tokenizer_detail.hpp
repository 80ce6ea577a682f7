#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gridmill/base/json.hpp"
#include "tokenizer/metaspace.hpp"
#include "tokenizer/regex_detail.hpp"
#include "tokenizer/text_encoder_detail.hpp"

namespace gridmill::tokenizer_detail {

/// Treatment of a match of a `Split`.
enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

/// Applies a behaviour to the cuts of a text.
[[nodiscard]] std::vector<TextCut> apply_behavior(std::vector<TextCut> cuts,
                                                  SplitBehavior behavior);

/// The `pre_tokenizer` of a tokenizer.json: Sequence, Split, Digits, Punctuation, Whitespace,
/// WhitespaceSplit, Metaspace and ByteLevel. Tokens never cross the borders of pieces.
class PreTokenizer {
 public:
  PreTokenizer() = default;  ///< one piece
  /// @throws FormatError, with the word `unsupported` for other types.
  PreTokenizer(const Json& component, std::string where);

  /// Pieces of `text`, without empty ones. They point into `text`, or into `storage` if the text
  /// had to be changed.
  /// @param stretch  whether `text` stands at the start of the whole text.
  [[nodiscard]] std::vector<std::string_view> operator()(std::string_view text, Stretch stretch,
                                                         std::deque<std::string>& storage) const;
  /// Pieces are to be spelled in the byte-level alphabet.
  [[nodiscard]] bool is_byte_level() const { return is_byte_level_; }
  /// Text other than white space may vanish.
  [[nodiscard]] bool drops_text() const { return drops_text_; }

 private:
  struct Split {
    Regex pattern;
    SplitBehavior behavior;
    bool invert;
  };
  struct CutCharacters {
    bool (*is_match)(char32_t);
    SplitBehavior behavior;
  };
  struct LeadingSpace {};  // ByteLevel's add_prefix_space
  struct ToByteLevel {};   // for steps behind ByteLevel: they see its alphabet
  struct FromByteLevel {};
  /// The pieces so far.
  struct Pieces {
    std::vector<std::string_view> pieces;
    bool at_start;  // the first piece begins where the whole text does
    std::deque<std::string>& storage;

    void apply(const Split& split);
    void apply(const CutCharacters& cut);
    void apply(const Metaspace& metaspace);
    void apply(LeadingSpace);
    void apply(ToByteLevel);
    void apply(FromByteLevel);
    template <typename Cutter>
    void cut_each(const Cutter& cutter);
  };
  std::string where_;
  bool is_byte_level_ = false;
  bool drops_text_ = false;
  std::vector<
      std::variant<Split, CutCharacters, Metaspace, LeadingSpace, ToByteLevel, FromByteLevel>>
      steps_;

  void add(const Json& component);
  void add_byte_level(const Json& component, const std::string& place);
};

}  // namespace gridmill::tokenizer_detail
