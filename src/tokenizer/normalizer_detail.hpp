#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gridmill/base/json.hpp"
#include "tokenizer/regex_detail.hpp"
#include "tokenizer/unicode_detail.hpp"

namespace gridmill::tokenizer_detail {

/// The `normalizer` of a tokenizer.json: Sequence, NFC, NFD, NFKC, NFKD, Prepend and Replace.
class Normalizer {
 public:
  Normalizer() = default;  ///< changes nothing
  /// @throws FormatError, with the word `unsupported` for other types.
  Normalizer(const Json& component, std::string where);

  /// An empty text stays empty.
  /// @throws FormatError if the text grows beyond 64 times its size and 64 KiB.
  [[nodiscard]] std::string operator()(std::string_view text) const;
  [[nodiscard]] bool changes_nothing() const { return steps_.empty(); }

 private:
  struct Prepend {
    std::string content;
  };
  struct Replace {
    Regex pattern;
    std::string content;
  };
  std::string where_;
  std::vector<std::variant<NormalizationForm, Prepend, Replace>> steps_;

  void add(const Json& component);
};

/// Reads `pattern` of a component: {"String": ..} or {"Regex": ..}. @throws FormatError
[[nodiscard]] Regex read_pattern(const Json& component, const std::string& where);

}  // namespace gridmill::tokenizer_detail
