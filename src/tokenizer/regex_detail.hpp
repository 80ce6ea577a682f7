#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace gridmill::tokenizer_detail {

/// A range of a text; together with its neighbours it covers the whole text.
struct TextCut {
  std::size_t begin;
  std::size_t end;
  bool is_match;
};

/// A pattern in the syntax of tokenizer files (Oniguruma's), run by PCRE2 with Unicode properties.
/// Immutable and safe to share between threads.
class Regex {
 public:
  /// @throws FormatError if the pattern is wrong, or uses what the two engines read differently.
  Regex(std::string_view pattern, const std::string& where);
  /// A pattern that matches `literal` itself.
  [[nodiscard]] static Regex of_literal(std::string_view literal, const std::string& where);
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;
  ~Regex();

  /// Matches from left to right without overlap, and the stretches between them. Matches may be
  /// empty, though not right behind another match. An ill-formed byte of UTF-8 is matched as if it
  /// were the symbol U+FFFD.
  /// @throws FormatError if matching needs too many steps or too much memory.
  [[nodiscard]] std::vector<TextCut> cut(std::string_view text) const;

 private:
  struct Code;
  explicit Regex(std::unique_ptr<const Code> code);
  std::unique_ptr<const Code> code_;

  [[nodiscard]] std::vector<TextCut> cut_well_formed(std::string_view text) const;
};

/// Rewrites a pattern for PCRE2 where the two engines differ: `\s` is the property White_Space
/// (PCRE2's own adds U+180E), `\w` includes marks and connectors.
/// @throws FormatError naming a construct that is unsupported.
[[nodiscard]] std::string to_pcre2_syntax(std::string_view pattern, const std::string& where);

}  // namespace gridmill::tokenizer_detail
