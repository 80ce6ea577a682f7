#include "gridmill/base/printable.hpp"

#include <cstddef>
#include <cstdint>

#include "gridmill/base/format.hpp"

namespace gridmill {

namespace {

struct Character {
  char32_t code_point = 0;
  std::size_t bytes = 0;  ///< 0: ill-formed
};

/// The character at `at`, which is inside of `text`.
Character character_at(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) -> std::uint32_t {
    return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0;
  };
  const std::uint32_t first = byte(0);
  if (first < 0x80) return {first, 1};
  const std::size_t bytes = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4) return {};
  char32_t code_point = first & (0xFFU >> (bytes + 1));
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xC0U) != 0x80U) return {};
    code_point = (code_point << 6) | (byte(i) & 0x3FU);
  }
  const bool too_long = (bytes == 3 && code_point < 0x800) || (bytes == 4 && code_point < 0x10000);
  const bool surrogate = code_point >= 0xD800 && code_point <= 0xDFFF;
  if (too_long || surrogate || code_point > 0x10FFFF) return {};
  return {code_point, bytes};
}

/// Control characters (C0, DEL, C1), line and paragraph separators, and marks and overrides of the
/// direction of reading.
bool moves_things(char32_t c) {
  return c < 0x20 || (c >= 0x7F && c <= 0x9F) || c == 0x061C || c == 0x200E || c == 0x200F ||
         (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

void append_escaped(std::string& shown, char32_t c) {
  if (c == '\n') {
    shown += "\\n";
  } else if (c == '\t') {
    shown += "\\t";
  } else if (c == '\r') {
    shown += "\\r";
  } else if (c < 0x100) {
    shown += fmt::format("\\x{:02x}", static_cast<std::uint32_t>(c));
  } else {
    shown += fmt::format("\\u{:04x}", static_cast<std::uint32_t>(c));
  }
}

}  // namespace

bool is_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const Character character = character_at(text, at);
    if (character.bytes == 0) return false;
    at += character.bytes;
  }
  return true;
}

std::string printable(std::string_view text, Breaks breaks) {
  std::string shown;
  shown.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const Character character = character_at(text, at);
    const bool kept_break = breaks == Breaks::kept && (text[at] == '\n' || text[at] == '\t');
    if (character.bytes == 0) {
      shown += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[at]));
    } else if (moves_things(character.code_point) && !kept_break) {
      append_escaped(shown, character.code_point);
    } else {
      shown += text.substr(at, character.bytes);
    }
    at += character.bytes == 0 ? 1 : character.bytes;
  }
  return shown;
}

}  // namespace gridmill
