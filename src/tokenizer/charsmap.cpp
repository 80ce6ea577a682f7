#include "tokenizer/charsmap.hpp"

#include <algorithm>
#include <cstring>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "tokenizer/unicode_detail.hpp"
#include "tokenizer/utf8_detail.hpp"

namespace gridmill::tokenizer_detail {
namespace {

// The longest of SentencePiece's own rules has 54 bytes.
constexpr std::size_t kLongestReplacement = 256;

// A unit of the trie, as Darts-clone packs it: bits 0 to 7 the label, bit 8 whether a leaf hangs
// below, bits 10 to 30 the offset (times 256 if bit 9 is set). A leaf has bit 31 set, which no
// label has, and its value in the others.
bool has_leaf(std::uint32_t unit) { return (unit >> 8 & 1U) != 0; }
std::uint32_t label_of(std::uint32_t unit) { return unit & (1U << 31 | 0xFFU); }
std::uint32_t value_of(std::uint32_t unit) { return unit & ~(1U << 31); }
std::uint32_t offset_of(std::uint32_t unit) { return unit >> 10 << ((unit & 1U << 9) >> 6); }

}  // namespace

Charsmap::Charsmap(std::string_view blob, const std::string& where) {
  std::uint32_t trie_bytes = 0;
  if (blob.size() >= sizeof trie_bytes) std::memcpy(&trie_bytes, blob.data(), sizeof trie_bytes);
  const std::size_t rest = blob.size() - std::min(blob.size(), sizeof trie_bytes);
  if (trie_bytes == 0 || trie_bytes % sizeof(std::uint32_t) != 0 || trie_bytes > rest) {
    throw FormatError(fmt::format(
        "{}: a charsmap of {} bytes says that its trie has {}, expected a multiple of 4 that fits",
        where, blob.size(), trie_bytes));
  }
  units_.resize(trie_bytes / sizeof(std::uint32_t));
  std::memcpy(units_.data(), blob.data() + sizeof trie_bytes, trie_bytes);
  texts_ = blob.substr(sizeof trie_bytes + trie_bytes);
  if (!is_well_formed_utf8(texts_)) {
    throw FormatError(where + ": the replacement texts of the charsmap are not UTF-8");
  }
  for (std::size_t begin = 0; begin < texts_.size();) {
    const std::size_t end = std::min(texts_.find('\0', begin), texts_.size());
    if (end - begin > kLongestReplacement) {
      throw FormatError(fmt::format("{}: a replacement text of {} bytes; at most {} are read",
                                    where, end - begin, kLongestReplacement));
    }
    begin = end + 1;
  }
}

std::optional<Charsmap::Found> Charsmap::find(std::string_view text, Choice choice) const {
  std::optional<Found> found;
  std::uint32_t node = offset_of(units_[0]);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<std::uint8_t>(text[i]);
    node ^= byte;
    if (byte == 0 || node >= units_.size() || label_of(units_[node]) != byte) break;
    const std::uint32_t unit = units_[node];
    node ^= offset_of(unit);
    if (!has_leaf(unit)) continue;
    const std::uint32_t start = node < units_.size() ? value_of(units_[node]) : 0;
    if (node >= units_.size() || start > texts_.size()) break;
    const std::string_view tail = std::string_view(texts_).substr(start);
    found = Found{i + 1, tail.substr(0, tail.find('\0'))};
    if (choice == Choice::shortest) break;
  }
  return found;
}

std::optional<Charsmap::Found> Charsmap::longest_at(std::string_view text) const {
  return find(text, Choice::longest);
}

std::string Charsmap::normalize(std::string_view text) const {
  constexpr std::size_t kShortCluster = 6;
  std::string result;
  result.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const std::string_view cluster = text.substr(i, grapheme_length(text, i));
    i += cluster.size();
    if (cluster.size() < kShortCluster) {
      if (const auto found = find(cluster, Choice::shortest)) {
        result += found->replacement;
        continue;
      }
    }
    for (std::size_t at = 0; at < cluster.size();) {
      const std::string_view character = cluster.substr(at, next_utf8(cluster, at).length);
      const auto found = find(character, Choice::shortest);
      result += found ? found->replacement : character;
      at += character.size();
    }
  }
  return result;
}

std::string decode_base64(std::string_view text, const std::string& where) {
  const auto refuse = [&where] { throw FormatError(where + " is not base64"); };
  const auto digit_of = [](char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
  };
  if (text.size() % 4 != 0) refuse();
  for (int padding = 0; padding < 2 && text.ends_with('='); ++padding) text.remove_suffix(1);
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3 + 3);
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const int digit = digit_of(c);
    if (digit < 0) refuse();
    bits = bits << 6 | static_cast<std::uint32_t>(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes += static_cast<char>(bits >> count & 0xFFU);
  }
  return bytes;
}

}  // namespace gridmill::tokenizer_detail
