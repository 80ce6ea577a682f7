#include <array>
#include <cstdint>

#include "tokenizer/byte_level_detail.hpp"
#include "tokenizer/utf8_detail.hpp"

namespace gridmill::tokenizer_detail {
namespace {

constexpr bool is_visible(unsigned byte) {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

struct Alphabet {
  std::array<char16_t, 256> character{};
  std::array<std::int16_t, 256 + 68> byte{};  // by code point; -1 = none
};

constexpr Alphabet make_alphabet() {
  Alphabet alphabet;
  alphabet.byte.fill(-1);
  unsigned next = 256;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const unsigned code_point = is_visible(byte) ? byte : next++;
    alphabet.character[byte] = static_cast<char16_t>(code_point);
    alphabet.byte[code_point] = static_cast<std::int16_t>(byte);
  }
  return alphabet;
}

constexpr Alphabet kAlphabet = make_alphabet();

}  // namespace

std::string to_byte_level(std::string_view bytes) {
  std::string token;
  token.reserve(bytes.size() * 2);
  for (const char byte : bytes) {
    append_utf8(token, kAlphabet.character[static_cast<std::uint8_t>(byte)]);
  }
  return token;
}

std::optional<std::string> from_byte_level(std::string_view token) {
  std::string bytes;
  for (std::size_t i = 0; i < token.size();) {
    const Utf8Unit unit = next_utf8(token, i);
    if (!unit.well_formed || unit.code_point >= kAlphabet.byte.size()) return std::nullopt;
    const std::int16_t byte = kAlphabet.byte[unit.code_point];
    if (byte < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(byte));
    i += unit.length;
  }
  return bytes;
}

}  // namespace gridmill::tokenizer_detail
