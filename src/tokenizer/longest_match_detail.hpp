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

/// Finds the longest of a set of words at a place of a text: a trie over bytes.
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

 private:
  static constexpr TokenId kNoWord = -1;
  std::vector<TokenId> words_ = {kNoWord};                      // per node; node 0 is the root
  std::unordered_map<std::uint64_t, std::uint32_t> next_node_;  // (node, byte) -> node
  std::array<bool, 256> starts_{};                              // first bytes of words
};

}  // namespace gridmill::tokenizer_detail
