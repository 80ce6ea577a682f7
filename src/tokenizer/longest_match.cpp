#include <cstddef>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "tokenizer/longest_match_detail.hpp"

namespace gridmill::tokenizer_detail {
void LongestMatch::add(std::string_view word, TokenId id, const std::string& where) {
  if (word.empty() || word.size() > kLongestWord) {
    throw FormatError(fmt::format("{}: token {} has {} bytes, expected 1 to {}", where, id,
                                  word.size(), kLongestWord));
  }
  starts_[static_cast<std::uint8_t>(word.front())] = true;
  std::uint32_t node = 0;
  for (const char byte : word) {
    const auto [next, is_new] =
        next_node_.try_emplace(edge(node, byte), static_cast<std::uint32_t>(words_.size()));
    if (is_new) words_.push_back(kNoWord);
    node = next->second;
  }
  words_[node] = id;
}

std::optional<LongestMatch::Found> LongestMatch::at(std::string_view text,
                                                    std::size_t position) const {
  std::optional<Found> longest;
  each_at(text, position, [&longest](const Found& found) { longest = found; });
  return longest;
}

}  // namespace gridmill::tokenizer_detail
