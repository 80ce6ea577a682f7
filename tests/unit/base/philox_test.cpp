#include "gridmill/base/philox.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>

namespace gridmill {
namespace {

using Words = std::array<std::uint32_t, 4>;

// tests/kat_vectors of Random123 1.14, philox4x32 with 10 rounds.
TEST(Philox, EqualsTheKnownAnswersOfRandom123) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (Words{0x6627E8D5U, 0xE169C58DU, 0xBC57AC4CU, 0x9B00DBD8U}));
  EXPECT_EQ(
      philox4x32({0xFFFFFFFFU, 0xFFFFFFFFU, 0xFFFFFFFFU, 0xFFFFFFFFU}, {0xFFFFFFFFU, 0xFFFFFFFFU}),
      (Words{0x408F276DU, 0x41C83B0EU, 0xA20BC7C6U, 0x6D5451FDU}));
  EXPECT_EQ(
      philox4x32({0x243F6A88U, 0x85A308D3U, 0x13198A2EU, 0x03707344U}, {0xA4093822U, 0x299F31D0U}),
      (Words{0xD16CFE09U, 0x94FDCCEBU, 0x5001E420U, 0x24126EA1U}));
}

TEST(Philox, EveryWordOfCounterAndKeyMatters) {
  const Words base = philox4x32({1, 2, 3, 4}, {5, 6});
  EXPECT_NE(philox4x32({0, 2, 3, 4}, {5, 6}), base);
  EXPECT_NE(philox4x32({1, 0, 3, 4}, {5, 6}), base);
  EXPECT_NE(philox4x32({1, 2, 0, 4}, {5, 6}), base);
  EXPECT_NE(philox4x32({1, 2, 3, 0}, {5, 6}), base);
  EXPECT_NE(philox4x32({1, 2, 3, 4}, {0, 6}), base);
  EXPECT_NE(philox4x32({1, 2, 3, 4}, {5, 0}), base);
}

TEST(UnitUniform, LiesStrictlyBetweenZeroAndOne) {
  EXPECT_EQ(unit_uniform(0), 0x1p-24F);
  EXPECT_EQ(unit_uniform(0xFFFFFFFFU), 1.0F - 0x1p-24F);
  EXPECT_LT(unit_uniform(0xFFFFFFFFU), 1.0F);
}

TEST(UnitUniform, IsTheFormulaWithoutRounding) {
  for (std::uint32_t word = 0; word < 0xFFFF0000U; word += 0xFFF1U) {
    const double exact = (static_cast<double>(word >> 9) + 0.5) * 0x1p-23;
    ASSERT_EQ(static_cast<double>(unit_uniform(word)), exact) << word;
  }
}

TEST(UnitUniform, IgnoresTheLowNineBits) {
  EXPECT_EQ(unit_uniform(0x12345600U), unit_uniform(0x123457FFU));
  EXPECT_NE(unit_uniform(0x12345600U), unit_uniform(0x12345800U));
}

}  // namespace
}  // namespace gridmill
