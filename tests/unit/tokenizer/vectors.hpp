#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "gridmill/base/file.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/ids.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/tokenizer/decode_stream.hpp"
#include "gridmill/tokenizer/tokenizer.hpp"

namespace gridmill {

/// A tokenizer from a file, of the kind that its name says.
inline std::unique_ptr<Tokenizer> tokenizer_of(const std::string& path) {
  return make_tokenizer(tokenizer_kind_of(path), read_text_file(path), 0, path);
}

inline std::string hex_of(const std::string& bytes) {
  std::string hex;
  for (const char byte : bytes) hex += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return hex;
}

inline std::string streamed(const Tokenizer& tokenizer, const std::vector<TokenId>& ids,
                            bool skip_special) {
  DecodeStream stream(tokenizer, skip_special);
  std::string text;
  for (const TokenId id : ids) text += stream.push(id);
  return text += stream.finish();
}

inline std::vector<Json> vectors_of(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file.good()) << path;
  std::vector<Json> vectors;
  for (std::string line; std::getline(file, line);) vectors.push_back(parse_json(line, path));
  EXPECT_GE(vectors.size(), 60U) << path;
  return vectors;
}

/// Every vector of the file (tests/data/tokenizer/README.md) must come out exactly.
inline void expect_all_vectors(const Tokenizer& tokenizer, const std::string& path) {
  for (const Json& vector : vectors_of(path)) {
    SCOPED_TRACE(vector.dump().substr(0, 500));
    const auto ids = vector.at("ids").get<std::vector<TokenId>>();
    if (vector.at("kind") == "encode") {
      const auto text = vector.at("text").get<std::string>();
      EXPECT_EQ(tokenizer.encode(text, false), ids);
      EXPECT_LE(tokenizer.fewest_tokens(text), ids.size());
      EXPECT_EQ(tokenizer.encode(text, true),
                vector.at("ids_with_special").get<std::vector<TokenId>>());
    }
    EXPECT_EQ(tokenizer.decode(ids, false), vector.at("decoded").get<std::string>());
    EXPECT_EQ(tokenizer.decode(ids, true), vector.at("decoded_skip_special").get<std::string>());
    EXPECT_EQ(streamed(tokenizer, ids, true), tokenizer.decode(ids, true));
    if (vector.contains("bytes_hex")) {
      EXPECT_EQ(hex_of(tokenizer.decode_bytes(ids, false)), vector.at("bytes_hex"));
    }
  }
}

}  // namespace gridmill
