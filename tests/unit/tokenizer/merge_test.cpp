#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

#include "tokenizer/merge_detail.hpp"

namespace gridmill::tokenizer_detail {
namespace {

using Rules = std::map<std::pair<std::string, std::string>, double>;

// The definition: look at all neighbours, merge the best, start again.
std::vector<std::string> merged_plainly(const std::string& text, const Rules& rules) {
  std::vector<std::string> parts;
  for (const char c : text) parts.emplace_back(1, c);
  while (true) {
    std::size_t best = parts.size();
    double priority = 0.0;
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto rule = rules.find({parts[i], parts[i + 1]});
      if (rule != rules.end() && (best == parts.size() || rule->second < priority)) {
        best = i;
        priority = rule->second;
      }
    }
    if (best == parts.size()) return parts;
    parts[best] += parts[best + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
}

std::vector<std::string> merged_by_heap(const std::string& text, const Rules& rules) {
  MergeScratch scratch;
  for (std::size_t i = 0; i < text.size(); ++i) scratch.add_symbol(i, 1, 0);
  merge_symbols(scratch, [&](const Symbol& left, const Symbol& right) -> std::optional<Merge> {
    const auto rule =
        rules.find({text.substr(left.begin, left.length), text.substr(right.begin, right.length)});
    if (rule == rules.end()) return std::nullopt;
    return Merge{rule->second, 0};
  });
  std::vector<std::string> parts;
  for (const Symbol& symbol : scratch.symbols) {
    if (symbol.length > 0) parts.push_back(text.substr(symbol.begin, symbol.length));
  }
  return parts;
}

TEST(MergeSymbols, ThePairOfSmallestPriorityGoesFirst) {
  const Rules rules = {{{"a", "b"}, 2}, {{"b", "c"}, 1}, {{"a", "bc"}, 3}};
  EXPECT_EQ(merged_by_heap("abc", rules), std::vector<std::string>{"abc"});
  EXPECT_EQ(merged_by_heap("abab", rules), (std::vector<std::string>{"ab", "ab"}));
}

TEST(MergeSymbols, TheLeftmostPairWinsATie) {
  EXPECT_EQ(merged_by_heap("aaa", {{{"a", "a"}, 1}}), (std::vector<std::string>{"aa", "a"}));
}

// Priorities rise as pieces grow, as in every trained vocabulary, or do not; both are defined.
TEST(MergeSymbols, AgreesWithThePlainDefinition) {
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    Rules rules;
    std::vector<std::string> pieces = {"a", "b", "c"};
    for (int i = 0; i < 12; ++i) {
      const std::string& left = pieces[random() % pieces.size()];
      const std::string& right = pieces[random() % pieces.size()];
      if (rules.emplace(std::pair(left, right), static_cast<double>(random() % 8)).second) {
        pieces.push_back(left + right);
      }
    }
    std::string text;
    for (int i = 0; i < 40; ++i) text += static_cast<char>('a' + random() % 3);
    EXPECT_EQ(merged_by_heap(text, rules), merged_plainly(text, rules));
  }
}

}  // namespace
}  // namespace gridmill::tokenizer_detail
