#include <gtest/gtest.h>

#include "tokenizer/byte_level_detail.hpp"

namespace gridmill::tokenizer_detail {
namespace {

TEST(ByteLevel, EveryByteHasACharacterOfItsOwn) {
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) bytes.push_back(static_cast<char>(byte));
  EXPECT_EQ(from_byte_level(to_byte_level(bytes)), bytes);
}

TEST(ByteLevel, SpellsBlanksLikeGpt2) {
  EXPECT_EQ(to_byte_level(" a\n\t\x7F"), "\u0120a\u010A\u0109\u0121");
  EXPECT_EQ(to_byte_level("\xA0\xAD\xFF"), "\u0142\u0143\u00FF");
}

TEST(ByteLevel, TextOutsideTheAlphabetSpellsNoBytes) {
  EXPECT_EQ(from_byte_level("a b"), std::nullopt);
  EXPECT_EQ(from_byte_level("\u0144"), std::nullopt);
  EXPECT_EQ(from_byte_level("\xFF"), std::nullopt);
}

}  // namespace
}  // namespace gridmill::tokenizer_detail
