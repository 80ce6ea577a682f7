#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gridmill/base/json.hpp"
#include "tokenizer/charsmap.hpp"
#include "tokenizer/regex_detail.hpp"
#include "tokenizer/unicode_detail.hpp"

namespace gridmill::tokenizer_detail {

struct NormalizedText {
  std::string text;
  /// The first character of the original was not removed, so the text still begins where it did.
  bool keeps_start = true;
};

/// The `normalizer` of a tokenizer.json: Sequence, NFC, NFD, NFKC, NFKD, Precompiled, Prepend,
/// Replace and Strip.
class Normalizer {
 public:
  Normalizer() = default;  ///< changes nothing
  /// @throws FormatError, with the word `unsupported` for other types.
  Normalizer(const Json& component, std::string where);

  /// An empty text stays empty.
  /// @throws FormatError if the text grows beyond 64 times its size and 64 KiB.
  [[nodiscard]] NormalizedText operator()(std::string_view text) const;
  [[nodiscard]] bool changes_nothing() const { return steps_.empty(); }
  /// How many times shorter a text may become, white space not counted; 0 = no bound is known.
  [[nodiscard]] std::size_t shrinks_by() const { return shrinks_by_; }

 private:
  struct Prepend {
    std::string content;
  };
  struct Replace {
    Regex pattern;
    std::string content;
  };
  struct Strip {
    bool left;
    bool right;
  };
  /// A text on its way through the steps.
  struct Passage {
    std::string text;
    std::size_t limit;         // bytes that the text may grow to
    std::size_t put_in_front;  // bytes at the start that no character of the original became
    bool keeps_start = true;

    void apply(NormalizationForm form);
    void apply(const Charsmap& charsmap);
    void apply(const Prepend& prepend);
    void apply(const Replace& replace);
    void apply(const Strip& strip);
    void lost_in_front(std::size_t bytes);
  };
  std::string where_;
  std::size_t shrinks_by_ = 1;
  std::vector<std::variant<NormalizationForm, Charsmap, Prepend, Replace, Strip>> steps_;

  void add(const Json& component);
};

/// Reads `pattern` of a component: {"String": ..} or {"Regex": ..}. @throws FormatError
[[nodiscard]] Regex read_pattern(const Json& component, const std::string& where);

}  // namespace gridmill::tokenizer_detail
