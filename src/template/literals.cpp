#include "template/literals.hpp"

#include <algorithm>
#include <charconv>

#include "template/unicode_text.hpp"

namespace gridmill::jinja {

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Reads up to `most` digits of `base` from `at` on.
std::optional<char32_t> read_code(std::string_view text, std::size_t& at, std::size_t most,
                                  int base) {
  std::uint32_t code = 0;
  const std::string_view digits = text.substr(at, most);
  const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), code, base);
  const auto length = static_cast<std::size_t>(result.ptr - digits.data());
  if (result.ec != std::errc() || (base == 16 && length != most)) return std::nullopt;
  at += length;
  if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return std::nullopt;
  return static_cast<char32_t>(code);
}

/// Digits with single '_' between them.
std::size_t digits_length(std::string_view text) {
  std::size_t length = 0;
  while (length < text.size()) {
    if (is_digit(text[length])) {
      ++length;
    } else if (length > 0 && text[length] == '_' && length + 1 < text.size() &&
               is_digit(text[length + 1])) {
      ++length;
    } else {
      break;
    }
  }
  return length;
}

std::string without_underscores(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c != '_') result += c;
  }
  return result;
}

}  // namespace

std::optional<std::string> unescaped(std::string_view written) {
  constexpr std::string_view kLetters = "ntr\\'\"abfv";
  constexpr std::string_view kMeanings = "\n\t\r\\'\"\a\b\f\v";
  std::string text;
  for (std::size_t at = 0; at < written.size();) {
    if (written[at] != '\\' || at + 1 >= written.size()) {
      text += written[at++];
      continue;
    }
    const char letter = written[at + 1];
    at += 2;
    if (const std::size_t place = kLetters.find(letter); place != std::string_view::npos) {
      text += kMeanings[place];
    } else if (letter == '\n') {
      continue;
    } else if (letter == 'x' || letter == 'u' || letter == 'U' || (letter >= '0' && letter < '8')) {
      const bool octal = is_digit(letter);
      if (octal) --at;
      const std::size_t most = octal ? 3 : letter == 'x' ? 2 : letter == 'u' ? 4 : 8;
      const std::optional<char32_t> code = read_code(written, at, most, octal ? 8 : 16);
      if (!code) return std::nullopt;
      append_character(text, *code);
    } else if (letter == 'N') {
      return std::nullopt;  // names of characters
    } else {
      text += '\\';
      text += letter;
    }
  }
  return text;
}

NumberLiteral number_literal(std::string_view text, bool may_be_float) {
  if (text[0] == '0' && text.size() > 2) {
    const char prefix = static_cast<char>(text[1] | 0x20);
    const std::string_view allowed = prefix == 'x'   ? "0123456789abcdefABCDEF_"
                                     : prefix == 'o' ? "01234567_"
                                     : prefix == 'b' ? "01_"
                                                     : "";
    const std::size_t end = text.find_first_not_of(allowed, 2);
    const std::size_t length = end == std::string_view::npos ? text.size() : end;
    if (!allowed.empty() && length > 2) {
      return {without_underscores(text.substr(0, length)), length, false};
    }
  }
  std::size_t length = digits_length(text);
  bool is_float = false;
  if (may_be_float && length + 1 < text.size() && text[length] == '.' &&
      is_digit(text[length + 1])) {
    length += 1 + digits_length(text.substr(length + 1));
    is_float = true;
  }
  if (may_be_float && length < text.size() && (text[length] | 0x20) == 'e') {
    std::size_t exponent = length + 1;
    if (exponent < text.size() && (text[exponent] == '+' || text[exponent] == '-')) ++exponent;
    const std::size_t digits = digits_length(text.substr(std::min(exponent, text.size())));
    if (digits > 0) {
      length = exponent + digits;
      is_float = true;
    }
  }
  return {without_underscores(text.substr(0, length)), length, is_float};
}

std::optional<Value> integer_value(const std::string& digits) {
  int base = 10;
  std::string_view rest = digits;
  if (rest.size() > 2 && rest[0] == '0' && !is_digit(rest[1])) {
    const char prefix = static_cast<char>(rest[1] | 0x20);
    base = prefix == 'x' ? 16 : prefix == 'o' ? 8 : 2;
    rest = rest.substr(2);
  }
  std::int64_t value = 0;
  const auto result = std::from_chars(rest.data(), rest.data() + rest.size(), value, base);
  if (result.ec != std::errc() || result.ptr != rest.data() + rest.size()) return std::nullopt;
  return Value::integer(value);
}

}  // namespace gridmill::jinja
