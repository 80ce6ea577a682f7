#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <map>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "gridmill/base/ids.hpp"
#include "gridmill/base/json.hpp"
#include "support/memory_parameters.hpp"

namespace gridmill::test {

/// A golden case as one plain file, for builds without HDF5: a line of JSON, then float32 values,
/// little-endian, in the order in which the line names them.
struct PlainGolden {
  struct Prompt {
    std::vector<TokenId> prompt;
    std::vector<TokenId> greedy;
    std::vector<float> logits;  ///< row t = after consuming (prompt + greedy)[0..t]
  };
  std::string source;  ///< where the case came from
  double err32 = 0;    ///< of hf_golden_test.cpp
  Json config;         ///< gridmill's own
  Tensors tensors;
  std::vector<Prompt> prompts;
};

/// The bytes of the file.
inline std::string to_plain(const PlainGolden& golden) {
  Json head = {
      {"format", "gridmill-plain-golden"}, {"source", golden.source},  {"err32", golden.err32},
      {"config", golden.config},           {"tensors", Json::array()}, {"prompts", Json::array()}};
  std::string values;
  const auto append = [&values](std::span<const float> numbers) {
    values.append(reinterpret_cast<const char*>(numbers.data()), numbers.size_bytes());
  };
  for (const auto& [name, numbers] : golden.tensors) {
    head["tensors"].push_back({{"name", name}, {"values", numbers.size()}});
    append(numbers);
  }
  for (const PlainGolden::Prompt& prompt : golden.prompts) {
    head["prompts"].push_back(
        {{"prompt", prompt.prompt}, {"greedy", prompt.greedy}, {"logits", prompt.logits.size()}});
    append(prompt.logits);
  }
  return head.dump() + "\n" + values;
}

inline std::string read_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

inline PlainGolden read_plain(const std::string& path) {
  const std::string bytes = read_bytes(path);
  std::size_t at = bytes.find('\n');
  const Json head = parse_json(bytes.substr(0, at), path);
  ++at;
  const auto take = [&](std::size_t count) {
    if (at + count * sizeof(float) > bytes.size()) throw std::runtime_error(path + " is cut off");
    std::vector<float> values(count);
    std::memcpy(values.data(), bytes.data() + at, count * sizeof(float));
    at += count * sizeof(float);
    return values;
  };
  PlainGolden golden{.source = head.at("source"),
                     .err32 = head.at("err32"),
                     .config = head.at("config"),
                     .tensors = {},
                     .prompts = {}};
  for (const Json& tensor : head.at("tensors")) {
    golden.tensors[tensor.at("name")] = take(tensor.at("values"));
  }
  for (const Json& prompt : head.at("prompts")) {
    golden.prompts.push_back({.prompt = prompt.at("prompt"),
                              .greedy = prompt.at("greedy"),
                              .logits = take(prompt.at("logits"))});
  }
  if (at != bytes.size()) throw std::runtime_error(path + " goes on behind its last value");
  return golden;
}

}  // namespace gridmill::test
