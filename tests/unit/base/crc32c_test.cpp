#include "gridmill/base/crc32c.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace gridmill {
namespace {

std::uint32_t crc_of(std::string_view text) { return crc32c(std::as_bytes(std::span(text))); }

/// The definition, bit by bit.
std::uint32_t slow_crc32c(std::span<const std::byte> bytes) {
  std::uint32_t crc = 0xFFFFFFFFU;
  for (const std::byte byte : bytes) {
    crc ^= static_cast<std::uint32_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1U) != 0 ? 0x82F63B78U : 0U);
  }
  return ~crc;
}

// RFC 3720, appendix B.4; the RFC prints the bytes in the order of transmission.
TEST(Crc32c, EqualsTheVectorsOfRfc3720) {
  std::array<std::byte, 32> bytes{};
  EXPECT_EQ(crc32c(bytes), 0x8A9136AAU);
  bytes.fill(std::byte{0xFF});
  EXPECT_EQ(crc32c(bytes), 0x62A8AB43U);
  for (std::size_t i = 0; i < 32; ++i) bytes[i] = static_cast<std::byte>(i);
  EXPECT_EQ(crc32c(bytes), 0x46DD794EU);
  for (std::size_t i = 0; i < 32; ++i) bytes[i] = static_cast<std::byte>(31 - i);
  EXPECT_EQ(crc32c(bytes), 0x113FDB5CU);
}

TEST(Crc32c, EqualsTheCheckValueOfTheCatalogue) { EXPECT_EQ(crc_of("123456789"), 0xE3069283U); }

TEST(Crc32c, NothingHasCrcZero) { EXPECT_EQ(crc_of(""), 0U); }

TEST(Crc32c, EveryLengthAndAlignmentEqualsTheDefinition) {
  std::vector<std::byte> bytes(80);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 37 + 11);
  for (std::size_t start = 0; start < 8; ++start) {
    for (std::size_t length = 0; start + length <= bytes.size(); ++length) {
      const auto part = std::span(bytes).subspan(start, length);
      ASSERT_EQ(crc32c(part), slow_crc32c(part)) << start << " + " << length;
    }
  }
}

TEST(Crc32c, ContinuesFromWhatCameBefore) {
  const std::string_view text = "payload of a row, in pieces";
  const auto bytes = std::as_bytes(std::span(text));
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    ASSERT_EQ(crc32c(bytes.subspan(cut), crc32c(bytes.first(cut))), crc32c(bytes)) << cut;
  }
}

}  // namespace
}  // namespace gridmill
