// Stop strings, stop ids and lengths against recorded rows of a program of its own.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gridmill/base/file.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/tokenizer/stop_texts.hpp"

namespace gridmill {
namespace {

/// Tokens that a row keeps, why it ends, and its text: docs/numerics.md, section 7.
struct Ended {
  std::size_t kept = 0;
  std::string reason = "length";
  std::string text;
};

Ended end_of(const Tokenizer& tokenizer, const Json& line) {
  const auto prompt = line.at("prompt").get<std::vector<TokenId>>();
  const auto ids = line.at("ids").get<std::vector<TokenId>>();
  const Json& options = line.at("options");
  const auto list = [&](const char* name) { return options.value(name, std::vector<TokenId>{}); };
  const std::vector<TokenId> eod_ids = list("eod_ids");
  std::vector<TokenId> stop_ids = list("stop_token_ids");
  const auto stops = options.value("stop", std::vector<std::string>{});
  const auto least = options.value("min_new_tokens", std::size_t{0});
  const auto most = std::min(ids.size(), options.value("max_new_tokens", ids.size()));
  const std::map<std::string, TokenId> special = special_token_texts(tokenizer);
  for (const std::string& stop : stops) {
    if (const auto id = special.find(stop); id != special.end()) stop_ids.push_back(id->second);
  }
  StopTexts texts(tokenizer, stops, prompt);
  const auto contains = [](const std::vector<TokenId>& all, TokenId id) {
    return std::find(all.begin(), all.end(), id) != all.end();
  };
  const auto text_of = [&](std::size_t count) {
    std::vector<TokenId> all = prompt;
    const std::size_t before = tokenizer.decode_bytes(all, true).size();
    all.insert(all.end(), ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(count));
    return tokenizer.decode_bytes(all, true).substr(before);
  };
  for (std::size_t n = 1; n <= most; ++n) {
    const TokenId id = ids[n - 1];
    const std::optional<StopMatch> match = texts.push(id);
    if (n <= least) continue;
    if (contains(eod_ids, id)) return {n, "eod", text_of(n - 1)};
    if (contains(stop_ids, id)) return {n, "stop", text_of(n - 1)};
    if (match) {
      const bool included = options.value("include_stop", false);
      return {n, "stop", text_of(n).substr(0, included ? match->end : match->begin)};
    }
  }
  return {most, "length", text_of(most)};
}

std::string hex(const std::string& bytes) {
  std::string text;
  for (const char byte : bytes) {
    constexpr const char* kDigits = "0123456789abcdef";
    text += kDigits[static_cast<unsigned char>(byte) >> 4U];
    text += kDigits[static_cast<unsigned char>(byte) & 15U];
  }
  return text;
}

TEST(StopsGolden, EveryRecordedRowEndsWhereItShould) {
  const std::string root = GRIDMILL_GOLDEN_DIR;
  if (root.empty()) GTEST_SKIP() << "needs the full golden data: set GRIDMILL_GOLDEN_DIR";
  std::map<std::string, std::unique_ptr<Tokenizer>> tokenizers;
  std::ifstream lines(root + "/sampling/stops.jsonl");
  std::string text;
  int count = 0;
  while (std::getline(lines, text)) {
    const Json line = parse_json(text, "stops.jsonl");
    const auto name = line.at("tokenizer").get<std::string>();
    std::unique_ptr<Tokenizer>& tokenizer = tokenizers[name];
    if (tokenizer == nullptr) {
      const std::string path = root + "/../models/" + name + "/tokenizer.json";
      tokenizer = make_tokenizer(read_text_file(path), path);
    }
    const Ended ended = end_of(*tokenizer, line);
    EXPECT_EQ(ended.kept, line.at("kept").get<std::size_t>()) << text;
    EXPECT_EQ(ended.reason, line.at("reason").get<std::string>()) << text;
    EXPECT_EQ(hex(ended.text), line.at("bytes_hex").get<std::string>()) << text;
    ++count;
  }
  EXPECT_EQ(count, 240);
}

}  // namespace
}  // namespace gridmill
