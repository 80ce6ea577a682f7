#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace gridmill {

/// Streaming 128-bit content hash (XXH3): identity of prompts, parameters and models. Not
/// cryptographic.
class ContentHash {
 public:
  ContentHash();
  ~ContentHash();
  ContentHash(ContentHash&&) noexcept;
  ContentHash& operator=(ContentHash&&) noexcept;

  void update(std::span<const std::byte> bytes);
  void update(const std::string& text);
  /// "xxh3-128:" and 32 hexadecimal digits of all that was given so far.
  [[nodiscard]] std::string hex() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Hash of the file's whole content.
/// @throws MissingInputError if it cannot be read.
[[nodiscard]] std::string content_hash_of_file(const std::string& path);

}  // namespace gridmill
