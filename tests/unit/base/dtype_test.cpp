#include "gridmill/base/dtype.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <ios>
#include <limits>

#include "gridmill/base/fp16.hpp"

namespace gridmill {
namespace {

std::uint32_t bits_of(float value) { return std::bit_cast<std::uint32_t>(value); }
float from_bits(std::uint32_t bits) { return std::bit_cast<float>(bits); }

TEST(DType, SizesAndNames) {
  EXPECT_EQ(size_of(DType::fp32), 4U);
  EXPECT_EQ(size_of(DType::bf16), 2U);
  EXPECT_EQ(size_of(DType::fp16), 2U);
  EXPECT_EQ(name_of(DType::fp32), "fp32");
  EXPECT_EQ(name_of(DType::bf16), "bf16");
  EXPECT_EQ(name_of(DType::fp16), "fp16");
}

TEST(Bf16, WideningKeepsEveryValue) {
  for (std::uint32_t value = 0; value <= 0xFFFFU; ++value) {
    ASSERT_EQ(bits_of(bf16_to_fp32(static_cast<Bf16>(value))), value << 16);
  }
}

TEST(Bf16, EveryValueThatIsNoNanSurvivesTheRoundTrip) {
  for (std::uint32_t value = 0; value <= 0xFFFFU; ++value) {
    const float wide = bf16_to_fp32(static_cast<Bf16>(value));
    if (!std::isnan(wide)) {
      ASSERT_EQ(fp32_to_bf16(wide), value);
    }
  }
}

TEST(Bf16, RoundsToTheNearest) {
  EXPECT_EQ(fp32_to_bf16(from_bits(0x3F807FFFU)), 0x3F80U);
  EXPECT_EQ(fp32_to_bf16(from_bits(0x3F808001U)), 0x3F81U);
  EXPECT_EQ(fp32_to_bf16(from_bits(0xBF808001U)), 0xBF81U);
}

TEST(Bf16, TiesGoToTheEvenNeighbour) {
  EXPECT_EQ(fp32_to_bf16(from_bits(0x3F808000U)), 0x3F80U);  // between 3F80 and 3F81
  EXPECT_EQ(fp32_to_bf16(from_bits(0x3F818000U)), 0x3F82U);  // between 3F81 and 3F82
  EXPECT_EQ(fp32_to_bf16(from_bits(0xBF808000U)), 0xBF80U);
  EXPECT_EQ(fp32_to_bf16(from_bits(0xBF818000U)), 0xBF82U);
}

TEST(Bf16, ACarryReachesTheExponent) { EXPECT_EQ(fp32_to_bf16(from_bits(0x3FFFFFFFU)), 0x4000U); }

TEST(Bf16, BeyondTheLargestValueIsInfinity) {
  EXPECT_EQ(fp32_to_bf16(std::numeric_limits<float>::max()), 0x7F80U);
  EXPECT_EQ(fp32_to_bf16(std::numeric_limits<float>::lowest()), 0xFF80U);
  EXPECT_EQ(fp32_to_bf16(from_bits(0x7F7F7FFFU)), 0x7F7FU);  // just below the middle stays finite
  EXPECT_EQ(fp32_to_bf16(std::numeric_limits<float>::infinity()), 0x7F80U);
}

TEST(Bf16, SubnormalsAndSignedZerosAreKept) {
  EXPECT_EQ(fp32_to_bf16(0.0F), 0x0000U);
  EXPECT_EQ(fp32_to_bf16(-0.0F), 0x8000U);
  EXPECT_EQ(fp32_to_bf16(from_bits(0x00010000U)), 0x0001U);  // smallest bf16
  EXPECT_EQ(fp32_to_bf16(from_bits(0x00018000U)), 0x0002U);  // tie among subnormals
  EXPECT_EQ(fp32_to_bf16(from_bits(0x00008000U)), 0x0000U);  // tie with zero
  EXPECT_EQ(fp32_to_bf16(from_bits(0x00008001U)), 0x0001U);
}

TEST(Bf16, EveryNanStaysAQuietNanOfItsSign) {
  // 7F800001 has its payload in the bits that are cut off: cutting alone would make it infinity.
  for (const std::uint32_t bits :
       {0x7F800001U, 0x7FC00000U, 0x7FFFFFFFU, 0xFF800001U, 0xFFC12345U}) {
    const Bf16 narrow = fp32_to_bf16(from_bits(bits));
    EXPECT_TRUE(std::isnan(bf16_to_fp32(narrow))) << std::hex << bits;
    EXPECT_NE(narrow & 0x40U, 0U) << std::hex << bits;
    EXPECT_EQ(narrow >> 15, bits >> 31) << std::hex << bits;
  }
}

TEST(Fp16, EveryFiniteValueIsExact) {
  for (std::uint32_t value = 0; value < 0x10000U; ++value) {
    const std::uint32_t exponent = (value >> 10) & 0x1FU;
    if (exponent == 31) continue;
    const double mantissa = (value & 0x3FFU) / 1024.0;
    const double magnitude = exponent == 0
                                 ? std::ldexp(mantissa, -14)
                                 : std::ldexp(1.0 + mantissa, static_cast<int>(exponent) - 15);
    const double expected = (value & 0x8000U) != 0 ? -magnitude : magnitude;
    const float got = fp16_to_fp32(static_cast<std::uint16_t>(value));
    ASSERT_EQ(static_cast<double>(got), expected) << std::hex << value;
    ASSERT_EQ(std::signbit(got), (value & 0x8000U) != 0) << std::hex << value;
  }
}

TEST(Fp16, InfinitiesAndNans) {
  EXPECT_EQ(fp16_to_fp32(0x7C00U), std::numeric_limits<float>::infinity());
  EXPECT_EQ(fp16_to_fp32(0xFC00U), -std::numeric_limits<float>::infinity());
  for (std::uint32_t mantissa = 1; mantissa < 0x400U; ++mantissa) {
    ASSERT_TRUE(std::isnan(fp16_to_fp32(static_cast<std::uint16_t>(0x7C00U | mantissa))));
  }
}

TEST(Fp16, RoundsToTheNearestAndTiesToEven) {
  for (std::uint32_t value = 0; value < 0x10000U; ++value) {
    const auto half = static_cast<std::uint16_t>(value);
    if ((value & 0x7C00U) == 0x7C00U && (value & 0x3FFU) != 0) continue;  // NaN
    ASSERT_EQ(fp32_to_fp16(fp16_to_fp32(half)), half) << std::hex << value;
    if ((value & 0x7FFFU) >= 0x7BFFU) continue;
    // Half way to the next one the even one is taken; a little above, the next one.
    const float here = fp16_to_fp32(half);
    const float next = fp16_to_fp32(static_cast<std::uint16_t>(value + 1));
    const float middle = (here + next) / 2;
    ASSERT_EQ(fp32_to_fp16(middle), value % 2 == 0 ? half : half + 1) << std::hex << value;
    ASSERT_EQ(fp32_to_fp16(std::nextafter(middle, next)), half + 1) << std::hex << value;
    ASSERT_EQ(fp32_to_fp16(std::nextafter(middle, here)), half) << std::hex << value;
  }
  EXPECT_EQ(fp32_to_fp16(65519.0F), 0x7BFFU);
  EXPECT_EQ(fp32_to_fp16(65520.0F), 0x7C00U);
  EXPECT_EQ(fp32_to_fp16(-1e30F), 0xFC00U);
  EXPECT_EQ(fp32_to_fp16(1e-30F), 0U);
  EXPECT_TRUE(std::isnan(fp16_to_fp32(fp32_to_fp16(std::numeric_limits<float>::quiet_NaN()))));
}

}  // namespace
}  // namespace gridmill
