#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/json_mutator.hpp"
#include "fuzz/mutator.hpp"

namespace gridmill::fuzz {

/// Where the structures of an HDF5 file begin: those with a signature, and version 1 object
/// headers, which have none.
inline std::vector<std::size_t> h5_structures(const Bytes& file) {
  static constexpr std::array<std::string_view, 14> kSignatures = {
      "\x89HDF", "TREE", "SNOD", "HEAP", "GCOL", "OHDR", "OCHK",
      "FRHP",    "FHDB", "FHIB", "BTHD", "BTLF", "FAHD", "EAHD"};
  std::vector<std::size_t> found;
  for (std::size_t at = 0; at + 16 <= file.size(); ++at) {
    const std::string_view here(reinterpret_cast<const char*>(file.data()) + at, 4);
    const bool named =
        std::any_of(kSignatures.begin(), kSignatures.end(), [&](auto s) { return s == here; });
    // Version 1, reserved 0, some messages, one or a few references.
    const bool header = at % 8 == 0 && file[at] == 1 && file[at + 1] == 0 && file[at + 2] != 0 &&
                        file[at + 3] == 0 && file[at + 4] != 0 && file[at + 5] == 0 &&
                        file[at + 6] == 0 && file[at + 7] == 0;
    if (named || header) found.push_back(at);
  }
  return found;
}

/// lookup3 of Bob Jenkins (public domain), which newer structures end with.
inline std::uint32_t h5_checksum(const std::uint8_t* key, std::size_t length) {
  const auto rotate = [](std::uint32_t x, int k) { return (x << k) | (x >> (32 - k)); };
  std::uint32_t a = 0xDEADBEEFU + static_cast<std::uint32_t>(length);
  std::uint32_t b = a;
  std::uint32_t c = a;
  const auto word = [&](std::size_t at) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < 4 && at + i < length; ++i) {
      value |= static_cast<std::uint32_t>(key[at + i]) << (8 * i);
    }
    return value;
  };
  std::size_t at = 0;
  while (length - at > 12) {
    a += word(at);
    b += word(at + 4);
    c += word(at + 8);
    a -= c;
    a ^= rotate(c, 4);
    c += b;
    b -= a;
    b ^= rotate(a, 6);
    a += c;
    c -= b;
    c ^= rotate(b, 8);
    b += a;
    a -= c;
    a ^= rotate(c, 16);
    c += b;
    b -= a;
    b ^= rotate(a, 19);
    a += c;
    c -= b;
    c ^= rotate(b, 4);
    b += a;
    at += 12;
  }
  if (length == at) return c;
  a += word(at);
  b += word(at + 4);
  c += word(at + 8);
  c ^= b;
  c -= rotate(b, 14);
  a ^= c;
  a -= rotate(c, 11);
  b ^= a;
  b -= rotate(a, 25);
  c ^= b;
  c -= rotate(b, 16);
  a ^= c;
  a -= rotate(c, 4);
  b ^= a;
  b -= rotate(a, 14);
  c ^= b;
  c -= rotate(b, 24);
  return c;
}

/// Every place behind a structure at which the checksum of all before it stood, so that a changed
/// structure can get it again.
inline std::vector<std::size_t> h5_checksums(const Bytes& file, std::size_t begin) {
  constexpr std::size_t kLongest = 1024;
  std::vector<std::size_t> found;
  for (std::size_t end = begin + 8; end + 4 <= file.size() && end < begin + kLongest; ++end) {
    std::uint32_t stored = 0;
    std::memcpy(&stored, file.data() + end, 4);
    if (stored == h5_checksum(file.data() + begin, end - begin)) found.push_back(end);
  }
  return found;
}

/// Changes a JSON text in the file (the job of a result, the configuration of a model) without
/// moving what lies behind it: a shorter text is filled up with spaces.
inline void mutate_json_in_h5(Bytes& file, const Dice& dice) {
  std::string text(file.begin(), file.end());
  std::vector<std::size_t> begins;
  for (std::size_t at = text.find("{\""); at != std::string::npos; at = text.find("{\"", at + 1)) {
    begins.push_back(at);
  }
  if (begins.empty()) return;
  const std::size_t begin = one_of(begins, dice);
  const std::size_t end = std::min(text.find('\0', begin), text.size());
  const std::string changed =
      mutated_json(text.substr(begin, end - begin), static_cast<std::uint32_t>(dice(1U << 31)));
  if (changed.size() > end - begin) return;
  std::fill(file.begin() + static_cast<std::ptrdiff_t>(begin),
            file.begin() + static_cast<std::ptrdiff_t>(end), std::uint8_t{' '});
  std::copy(changed.begin(), changed.end(), file.begin() + static_cast<std::ptrdiff_t>(begin));
}

/// Changes a field of a structure to a value that means something there: nothing, one, all bits, a
/// little more or less than before, or where another structure lies (so that they form circles). A
/// checksum that was right stays right.
inline void mutate_h5(Bytes& file, const Dice& dice) {
  const std::vector<std::size_t> structures = h5_structures(file);
  if (structures.empty()) return;
  const std::size_t begin = structures[dice(structures.size())];
  const std::vector<std::size_t> sums = h5_checksums(file, begin);
  const std::size_t span = std::min<std::size_t>(file.size() - begin, dice(4) == 0 ? 512 : 64);
  const std::size_t width = std::size_t{1} << dice(4);
  const std::size_t at = begin + dice(span) / width * width;
  if (at + width > file.size()) return;
  std::uint64_t value = 0;
  std::memcpy(&value, file.data() + at, width);
  switch (dice(8)) {
    case 0:
      value = 0;
      break;
    case 1:
      value = 1;
      break;
    case 2:
      value = ~std::uint64_t{0};
      break;
    case 3:
      value += 1 + dice(16);
      break;
    case 4:
      value -= 1 + dice(16);
      break;
    case 5:
      value = structures[dice(structures.size())];
      break;
    case 6:
      value ^= std::uint64_t{1} << dice(8 * width);
      break;
    default:
      value = std::uint64_t{1} << (8 * width - 1 - dice(8));
      break;
  }
  std::memcpy(file.data() + at, &value, width);
  for (const std::size_t end : sums) {
    const std::uint32_t sum = h5_checksum(file.data() + begin, end - begin);
    std::memcpy(file.data() + end, &sum, 4);
  }
}

}  // namespace gridmill::fuzz
