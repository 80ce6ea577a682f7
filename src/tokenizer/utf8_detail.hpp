#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace gridmill::tokenizer_detail {

/// One step through text that claims to be UTF-8.
struct Utf8Unit {
  char32_t code_point;  ///< meaningless if ill-formed
  std::size_t length;   ///< bytes of the character, or of the maximal ill-formed part (>= 1)
  bool well_formed;
  bool cut_off;  ///< ill-formed only because the text ends: more bytes could complete it
};

/// The unit at `position` < text.size(). Maximal parts follow Unicode, section 3.9 (table 3-7).
[[nodiscard]] Utf8Unit next_utf8(std::string_view text, std::size_t position);

/// Start of the character that ends at `end` > 0; one byte before it if no well-formed one does.
[[nodiscard]] std::size_t previous_utf8(std::string_view text, std::size_t end);

[[nodiscard]] bool is_well_formed_utf8(std::string_view text);
void append_utf8(std::string& text, char32_t code_point);

/// U+FFFD, the replacement character.
inline constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

/// Replaces each maximal ill-formed part by one U+FFFD.
[[nodiscard]] std::string replace_ill_formed(std::string_view text);

}  // namespace gridmill::tokenizer_detail
