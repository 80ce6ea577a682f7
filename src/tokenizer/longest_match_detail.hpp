#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "gridmill/base/ids.hpp"

namespace gridmill::tokenizer_detail {

/// Finds words of a set at a place of a text, mostly the longest: a trie over bytes.
class LongestMatch {
 public:
  struct Found {
    std::size_t length;
    TokenId id;
  };
  /// Words are at most so long, so a search of a whole text takes linear time.
  static constexpr std::size_t kLongestWord = 1024;

  /// Adds a word of 1 to kLongestWord bytes. @throws FormatError if it is empty or longer.
  void add(std::string_view word, TokenId id, const std::string& where);
  [[nodiscard]] bool empty() const { return words_.size() == 1; }
  [[nodiscard]] std::optional<Found> at(std::string_view text, std::size_t position) const;
  /// Calls `visit(Found)` for every word at `position`, the shortest first.
  template <typename Visit>
  void each_at(std::string_view text, std::size_t position, const Visit& visit) const {
    if (!starts_[static_cast<std::uint8_t>(text[position])]) return;
    std::uint32_t node = 0;
    for (std::size_t i = position; i < text.size(); ++i) {
      const auto next = next_node_.find(edge(node, text[i]));
      if (next == next_node_.end()) return;
      node = next->second;
      if (words_[node] != kNoWord) visit(Found{i + 1 - position, words_[node]});
    }
  }

 private:
  static std::uint64_t edge(std::uint32_t node, char byte) {
    return (std::uint64_t{node} << 8) | static_cast<std::uint8_t>(byte);
  }
  static constexpr TokenId kNoWord = -1;
  std::vector<TokenId> words_ = {kNoWord};                      // per node; node 0 is the root
  std::unordered_map<std::uint64_t, std::uint32_t> next_node_;  // (node, byte) -> node
  std::array<bool, 256> starts_{};                              // first bytes of words
};

}  // namespace gridmill::tokenizer_detail
