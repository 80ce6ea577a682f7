#include <cstdint>

#include "tokenizer/utf8_detail.hpp"

namespace gridmill::tokenizer_detail {

Utf8Unit next_utf8(std::string_view text, std::size_t position) {
  const auto byte_at = [&text](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t lead = byte_at(position);
  if (lead < 0x80) return {lead, 1, true, false};
  if (lead < 0xC2 || lead > 0xF4) return {0, 1, false, false};

  const std::size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  char32_t code_point = lead & (0xFFU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if (position + i == text.size()) return {0, i, false, true};
    const std::uint8_t byte = byte_at(position + i);
    // The second byte is narrower after four leads: no overlong forms, surrogates or > U+10FFFF.
    std::uint8_t low = 0x80;
    std::uint8_t high = 0xBF;
    if (i == 1) {
      if (lead == 0xE0) low = 0xA0;
      if (lead == 0xED) high = 0x9F;
      if (lead == 0xF0) low = 0x90;
      if (lead == 0xF4) high = 0x8F;
    }
    if (byte < low || byte > high) return {0, i, false, false};
    code_point = (code_point << 6) | (byte & 0x3FU);
  }
  return {code_point, length, true, false};
}

std::size_t previous_utf8(std::string_view text, std::size_t end) {
  const std::size_t farthest = end >= 4 ? end - 4 : 0;
  for (std::size_t begin = farthest; begin < end; ++begin) {
    const Utf8Unit unit = next_utf8(text.substr(0, end), begin);
    if (unit.well_formed && begin + unit.length == end) return begin;
  }
  return end - 1;
}

bool is_well_formed_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Unit unit = next_utf8(text, i);
    if (!unit.well_formed) return false;
    i += unit.length;
  }
  return true;
}

void append_utf8(std::string& text, char32_t code_point) {
  const auto push = [&text](char32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (code_point < 0x80) {
    push(code_point);
  } else if (code_point < 0x800) {
    push(0xC0 | (code_point >> 6));
    push(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    push(0xE0 | (code_point >> 12));
    push(0x80 | ((code_point >> 6) & 0x3F));
    push(0x80 | (code_point & 0x3F));
  } else {
    push(0xF0 | (code_point >> 18));
    push(0x80 | ((code_point >> 12) & 0x3F));
    push(0x80 | ((code_point >> 6) & 0x3F));
    push(0x80 | (code_point & 0x3F));
  }
}

std::string replace_ill_formed(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Unit unit = next_utf8(text, i);
    result += unit.well_formed ? text.substr(i, unit.length) : kReplacement;
    i += unit.length;
  }
  return result;
}

}  // namespace gridmill::tokenizer_detail
