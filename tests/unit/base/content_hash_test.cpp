#include "gridmill/base/content_hash.hpp"

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "gridmill/base/error.hpp"
#include "support/temporary_folder.hpp"

namespace gridmill {
namespace {

std::string hash_of(const std::string& text) {
  ContentHash hash;
  hash.update(text);
  return hash.hex();
}

// The empty input and "a" under XXH3-128 with seed 0, as `xxhsum -H2` prints them.
TEST(ContentHash, EqualsXxh3) {
  EXPECT_EQ(hash_of(""), "xxh3-128:99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(hash_of("a"), "xxh3-128:a96faf705af16834e6c632b61e964e1f");
}

TEST(ContentHash, PiecesAddUpToTheWhole) {
  const std::string text(100000, 'x');
  ContentHash pieces;
  for (std::size_t at = 0; at < text.size(); at += 777) pieces.update(text.substr(at, 777));
  EXPECT_EQ(pieces.hex(), hash_of(text));
}

TEST(ContentHash, ReadingTheHashDoesNotEndIt) {
  ContentHash hash;
  hash.update(std::string("first"));
  (void)hash.hex();
  hash.update(std::string("second"));
  EXPECT_EQ(hash.hex(), hash_of("firstsecond"));
}

TEST(ContentHash, OneBitChangesIt) { EXPECT_NE(hash_of("prompt A"), hash_of("prompt B")); }

TEST(ContentHash, MovesWithItsState) {
  ContentHash first;
  first.update(std::string("abc"));
  const ContentHash second = std::move(first);
  EXPECT_EQ(second.hex(), hash_of("abc"));
}

TEST(ContentHashOfFile, EqualsTheHashOfItsContent) {
  const test::TemporaryFolder folder;
  // Longer than the 4 MiB that are read at once, and no multiple of it.
  std::string content((std::size_t{4} << 20) + 12345, '\0');
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * 7 + i / 256);
  EXPECT_EQ(content_hash_of_file(folder.write("large", content)), hash_of(content));
  EXPECT_EQ(content_hash_of_file(folder.write("empty", "")), hash_of(""));
}

TEST(ContentHashOfFile, AMissingFileIsAMissingInput) {
  const test::TemporaryFolder folder;
  EXPECT_THROW((void)content_hash_of_file(folder.file("absent")), MissingInputError);
}

}  // namespace
}  // namespace gridmill
