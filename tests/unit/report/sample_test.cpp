#include "report/sample.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <limits>
#include <vector>

namespace gridmill::report_detail {
namespace {

TEST(ReportSample, LengthsAreThoseOfJavaScript) {
  EXPECT_EQ(utf16_length(""), 0U);
  EXPECT_EQ(utf16_length("a\u00e4\u65e5"), 3U);
  EXPECT_EQ(utf16_length("\U0001f600"), 2U);
}

TEST(ReportSample, LengthsArePackedIntoDigits) {
  const std::vector<std::size_t> lengths = {0, 1, 62, 63, 64, 130};
  EXPECT_EQ(packed_lengths(lengths), "AB-_A_B__E");
}

TEST(ReportSample, LogprobsArePackedFinelyNearZero) {
  const std::vector<float> logprobs = {0.0F,   -0.01F,  -1.0F,
                                       -16.0F, -100.0F, std::numeric_limits<float>::quiet_NaN()};
  // 63/4 sqrt(0.01) = 1.6 and 63/4 = 15.75.
  EXPECT_EQ(packed_logprobs(logprobs), "ACQ___");
}

TEST(ReportSample, OnlyLongTextsAreCut) {
  const std::vector<std::size_t> sizes = {10, 1000, 20, 500};
  EXPECT_EQ(fair_limit(sizes, 2000), 2000U);
  const std::size_t limit = fair_limit(sizes, 230);
  EXPECT_EQ(limit, 100U);
  EXPECT_EQ(fair_limit(std::vector<std::size_t>{}, 7), 7U);
}

}  // namespace
}  // namespace gridmill::report_detail
