#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gridmill::jinja {

/// Functions on well-formed UTF-8 that do what Python's str does.

[[nodiscard]] bool is_well_formed(std::string_view text);
/// The character at byte `at`, which is moved behind it.
[[nodiscard]] char32_t next_character(std::string_view text, std::size_t& at);
void append_character(std::string& text, char32_t code_point);

/// Python's str.isspace: 29 characters, among them U+001C and U+0085, not U+200B or U+FEFF.
[[nodiscard]] bool is_space(char32_t code_point);
[[nodiscard]] std::uint64_t character_count(std::string_view text);
/// The byte at which character `index` begins; the end of the text beyond it.
[[nodiscard]] std::size_t byte_of_character(std::string_view text, std::uint64_t index);
/// One view a character.
[[nodiscard]] std::vector<std::string_view> characters(std::string_view text);

struct StripSides {
  bool left = true;
  bool right = true;
};
/// Removes white space, or the characters of `removed` if it is given.
[[nodiscard]] std::string_view strip(std::string_view text, StripSides sides = {},
                                     const std::string_view* removed = nullptr);
/// str.split() and str.rsplit() without a separator: at runs of white space.
/// @param most  splits at most; negative = any number.
[[nodiscard]] std::vector<std::string_view> split_at_space(std::string_view text, std::int64_t most,
                                                           bool from_right);
/// @param separator  not empty.
[[nodiscard]] std::vector<std::string_view> split_at(std::string_view text,
                                                     std::string_view separator, std::int64_t most,
                                                     bool from_right);
[[nodiscard]] std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends);

[[nodiscard]] std::string to_upper(std::string_view text);
[[nodiscard]] std::string to_lower(std::string_view text);
/// First character in title case, the rest in lower case.
[[nodiscard]] std::string capitalize(std::string_view text);
/// str.title: a word is a run of cased letters.
[[nodiscard]] std::string title_method(std::string_view text);
/// The filter `title`: words end at white space and at - ( { [ <.
[[nodiscard]] std::string title_filter(std::string_view text);
[[nodiscard]] bool is_upper(std::string_view text);
[[nodiscard]] bool is_lower(std::string_view text);
/// Whether repr() shows the character as it is.
[[nodiscard]] bool is_printable(char32_t code_point);

}  // namespace gridmill::jinja
