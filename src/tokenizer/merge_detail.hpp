#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "gridmill/base/ids.hpp"

namespace gridmill::tokenizer_detail {

/// A stretch of text that is one token, or will be part of one. Symbols form a linked list.
struct Symbol {
  std::uint32_t begin;   ///< offset in the piece
  std::uint32_t length;  ///< bytes; 0 = absorbed by its left neighbour
  TokenId id;            ///< kNoToken if the text is no token (yet)
  std::int32_t previous;
  std::int32_t next;
};
inline constexpr TokenId kNoToken = -1;

/// A possible merge of two neighbours.
struct Merge {
  double priority;  ///< smaller first; equal: leftmost first
  TokenId id;
};

/// Working memory of merges, reused from piece to piece.
struct MergeScratch {
  struct Candidate {
    double priority;
    std::int32_t left;
    std::uint32_t length;
    TokenId id;
    // For a heap whose top is the first candidate to apply.
    bool operator<(const Candidate& other) const {
      return priority != other.priority ? priority > other.priority : left > other.left;
    }
  };
  std::vector<Symbol> symbols;
  std::vector<Candidate> heap;

  /// Starts a new piece.
  void clear() {
    symbols.clear();
    heap.clear();
  }
  void add_symbol(std::size_t begin, std::size_t length, TokenId id) {
    const auto index = static_cast<std::int32_t>(symbols.size());
    if (index > 0) symbols.back().next = index;
    symbols.push_back(
        {static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(length), id, index - 1, -1});
  }
};

/// Merges neighbours until none may merge, always the one of smallest priority, leftmost on ties.
/// O(n log n) calls of `find(left, right) -> std::optional<Merge>` for n symbols. Afterwards
/// symbols of length 0 are to be skipped.
template <typename Find>
void merge_symbols(MergeScratch& scratch, const Find& find) {
  std::vector<Symbol>& symbols = scratch.symbols;
  const auto consider = [&](std::int32_t left) {
    if (left < 0 || symbols[left].next < 0) return;
    const Symbol& a = symbols[left];
    const Symbol& b = symbols[a.next];
    if (const std::optional<Merge> merge = find(a, b)) {
      scratch.heap.push_back({merge->priority, left, a.length + b.length, merge->id});
      std::push_heap(scratch.heap.begin(), scratch.heap.end());
    }
  };
  for (std::size_t i = 0; i < symbols.size(); ++i) consider(static_cast<std::int32_t>(i));

  while (!scratch.heap.empty()) {
    std::pop_heap(scratch.heap.begin(), scratch.heap.end());
    const MergeScratch::Candidate best = scratch.heap.back();
    scratch.heap.pop_back();
    Symbol& left = symbols[best.left];
    if (left.length == 0 || left.next < 0) continue;
    Symbol& right = symbols[left.next];
    // A symbol only grows, so the same total length means that both are as they were.
    if (left.length + right.length != best.length) continue;
    left.length = best.length;
    left.id = best.id;
    right.length = 0;
    left.next = right.next;
    if (right.next >= 0) symbols[right.next].previous = best.left;
    consider(left.previous);
    consider(best.left);
  }
}

}  // namespace gridmill::tokenizer_detail
