#include "template/unicode_text.hpp"

#include <utf8proc.h>

#include <algorithm>
#include <optional>

namespace gridmill::jinja {

namespace {

const auto* bytes_of(std::string_view text) {
  return reinterpret_cast<const utf8proc_uint8_t*>(text.data());
}

bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80U; }

/// The byte at which the character before byte `end` > 0 begins.
std::size_t previous_character(std::string_view text, std::size_t end) {
  std::size_t at = end - 1;
  while (at > 0 && is_continuation(text[at])) --at;
  return at;
}

bool contains_character(std::string_view set, char32_t code_point) {
  for (std::size_t at = 0; at < set.size();) {
    if (next_character(set, at) == code_point) return true;
  }
  return false;
}

bool is_line_end(char32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

}  // namespace

bool is_well_formed(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    utf8proc_int32_t code_point = 0;
    const utf8proc_ssize_t length = utf8proc_iterate(
        bytes_of(text) + at, static_cast<utf8proc_ssize_t>(text.size() - at), &code_point);
    if (length <= 0) return false;
    at += static_cast<std::size_t>(length);
  }
  return true;
}

char32_t next_character(std::string_view text, std::size_t& at) {
  utf8proc_int32_t code_point = 0;
  const utf8proc_ssize_t length = utf8proc_iterate(
      bytes_of(text) + at, static_cast<utf8proc_ssize_t>(text.size() - at), &code_point);
  at += static_cast<std::size_t>(std::max<utf8proc_ssize_t>(length, 1));
  return static_cast<char32_t>(code_point);
}

void append_character(std::string& text, char32_t code_point) {
  utf8proc_uint8_t bytes[4];
  const utf8proc_ssize_t length =
      utf8proc_encode_char(static_cast<utf8proc_int32_t>(code_point), bytes);
  text.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(length));
}

bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

std::uint64_t character_count(std::string_view text) {
  return static_cast<std::uint64_t>(
      std::count_if(text.begin(), text.end(), [](char byte) { return !is_continuation(byte); }));
}

std::size_t byte_of_character(std::string_view text, std::uint64_t index) {
  std::size_t at = 0;
  for (; at < text.size(); ++at) {
    if (is_continuation(text[at])) continue;
    if (index == 0) break;
    --index;
  }
  return at;
}

std::vector<std::string_view> characters(std::string_view text) {
  std::vector<std::string_view> result;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    static_cast<void>(next_character(text, at));
    result.push_back(text.substr(begin, at - begin));
  }
  return result;
}

std::string_view strip(std::string_view text, StripSides sides, const std::string_view* removed) {
  const auto goes = [&](char32_t c) {
    return removed == nullptr ? is_space(c) : contains_character(*removed, c);
  };
  std::size_t begin = 0;
  while (sides.left && begin < text.size()) {
    std::size_t next = begin;
    if (!goes(next_character(text, next))) break;
    begin = next;
  }
  std::size_t end = text.size();
  while (sides.right && end > begin) {
    const std::size_t start = previous_character(text, end);
    std::size_t at = start;
    if (!goes(next_character(text, at))) break;
    end = start;
  }
  return text.substr(begin, end - begin);
}

std::vector<std::string_view> split_at_space(std::string_view text, std::int64_t most,
                                             bool from_right) {
  std::vector<std::string_view> parts;
  std::string_view rest = strip(text, {.left = !from_right, .right = from_right});
  while (!rest.empty()) {
    if (most >= 0 && static_cast<std::int64_t>(parts.size()) == most) {
      parts.push_back(rest);  // blanks at its other end stay
      break;
    }
    std::size_t at = from_right ? rest.size() : 0;
    while (from_right ? at > 0 : at < rest.size()) {
      std::size_t begin = from_right ? previous_character(rest, at) : at;
      const std::size_t start = begin;
      if (is_space(next_character(rest, begin))) break;
      at = from_right ? start : begin;
    }
    if (from_right) {
      parts.push_back(rest.substr(at));
      rest = strip(rest.substr(0, at), {.left = false, .right = true});
    } else {
      parts.push_back(rest.substr(0, at));
      rest = strip(rest.substr(at), {.left = true, .right = false});
    }
  }
  if (from_right) std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<std::string_view> split_at(std::string_view text, std::string_view separator,
                                       std::int64_t most, bool from_right) {
  std::vector<std::string_view> parts;
  while (most < 0 || static_cast<std::int64_t>(parts.size()) < most) {
    const std::size_t found = from_right ? text.rfind(separator) : text.find(separator);
    if (found == std::string_view::npos) break;
    if (from_right) {
      parts.push_back(text.substr(found + separator.size()));
      text = text.substr(0, found);
    } else {
      parts.push_back(text.substr(0, found));
      text = text.substr(found + separator.size());
    }
  }
  parts.push_back(text);
  if (from_right) std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> lines;
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = at;
    const char32_t c = next_character(text, at);
    if (!is_line_end(c)) continue;
    if (c == '\r' && at < text.size() && text[at] == '\n') ++at;
    lines.push_back(text.substr(begin, (keep_ends ? at : end) - begin));
    begin = at;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

}  // namespace gridmill::jinja
