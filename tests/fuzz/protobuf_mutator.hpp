#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fuzz/mutator.hpp"

namespace gridmill::fuzz {

/// A field of a message in protocol buffers' wire format.
struct WireField {
  std::uint64_t key = 0;    ///< 8 * number + wire type
  std::uint64_t value = 0;  ///< of wire type 0
  std::string bytes;        ///< of wire types 1, 2 and 5
};

constexpr std::uint64_t kVarint = 0;
constexpr std::uint64_t kEightBytes = 1;
constexpr std::uint64_t kLengthDelimited = 2;
constexpr std::uint64_t kFourBytes = 5;

inline bool read_varint(std::string_view& rest, std::uint64_t& value) {
  value = 0;
  for (int shift = 0; shift < 64 && !rest.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(rest.front());
    rest.remove_prefix(1);
    value |= static_cast<std::uint64_t>(byte & 0x7FU) << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

inline void write_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(0x80U | (value & 0x7FU)));
  out.push_back(static_cast<char>(value));
}

/// The fields of a message up to the first thing that is none; what is left stays in `message`.
inline std::vector<WireField> wire_fields(std::string_view& message) {
  std::vector<WireField> fields;
  while (!message.empty()) {
    std::string_view rest = message;
    WireField field;
    std::uint64_t length = 0;
    if (!read_varint(rest, field.key)) break;
    switch (field.key % 8) {
      case kVarint:
        if (!read_varint(rest, field.value)) return fields;
        break;
      case kEightBytes:
        length = 8;
        break;
      case kLengthDelimited:
        if (!read_varint(rest, length)) return fields;
        break;
      case kFourBytes:
        length = 4;
        break;
      default:
        return fields;
    }
    if (length > rest.size()) break;
    field.bytes = rest.substr(0, length);
    rest.remove_prefix(length);
    fields.push_back(std::move(field));
    message = rest;
  }
  return fields;
}

/// @param lie  added to the length of length-delimited bytes.
inline void write_field(std::string& out, const WireField& field, std::uint64_t lie = 0) {
  write_varint(out, field.key);
  if (field.key % 8 == kVarint) {
    write_varint(out, field.value);
    return;
  }
  if (field.key % 8 == kLengthDelimited) write_varint(out, field.bytes.size() + lie);
  out += field.bytes;
}

/// One change of a message or of a message in it: a field gone, twice, in another place, of another
/// number or type, with another value, or with a length that is not true.
inline std::string mutated_message(std::string_view message, const Dice& dice, int depth = 0) {
  static constexpr std::array<std::uint64_t, 8> kNumbers = {
      0, 1, 0x7F, 0x80, 0x7FFFFFFF, 0xFFFFFFFF, std::uint64_t{1} << 63, ~std::uint64_t{0}};
  constexpr int kDeepest = 4;
  std::string_view rest = message;
  std::vector<WireField> fields = wire_fields(rest);
  std::string out;
  if (fields.empty()) {
    out = message;
    change_bytes(out, dice);
    return out;
  }
  const std::size_t at = dice(fields.size());
  const auto place = fields.begin() + static_cast<std::ptrdiff_t>(at);
  const std::size_t other = dice(fields.size());
  std::uint64_t lie = 0;
  std::size_t liar = fields.size();
  switch (dice(9)) {
    case 0:
      fields.erase(place);
      break;
    case 1: {
      const WireField copy = *place;
      fields.insert(fields.begin() + static_cast<std::ptrdiff_t>(other), copy);
      break;
    }
    case 2:
      std::swap(fields[at], fields[other]);
      break;
    case 3:
      place->key = place->key % 8 + 8 * dice(48);
      break;
    case 4:
      place->key = place->key / 8 * 8 + dice(8);
      break;
    case 5:
      lie = one_of(kNumbers, dice);
      liar = at;
      break;
    default:
      if (place->key % 8 == kVarint) {
        place->value = dice(2) == 0 ? place->value + dice(3) - 1 : one_of(kNumbers, dice);
      } else if (place->key % 8 == kLengthDelimited && depth < kDeepest) {
        place->bytes = mutated_message(place->bytes, dice, depth + 1);
      } else if (!place->bytes.empty()) {
        // Floating-point numbers: nothing, all bits, infinity.
        static constexpr std::array<char, 3> kFill = {'\0', '\xFF', '\x7F'};
        std::fill(place->bytes.begin(), place->bytes.end(), one_of(kFill, dice));
      }
      break;
  }
  for (std::size_t i = 0; i < fields.size(); ++i) write_field(out, fields[i], i == liar ? lie : 0);
  out += rest;
  return out;
}

}  // namespace gridmill::fuzz
