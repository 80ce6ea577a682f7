#include "gridmill/job/progress.hpp"

#include <gtest/gtest.h>

namespace gridmill {
namespace {

TEST(HumanDuration, GrowsItsUnits) {
  EXPECT_EQ(human_duration(0.2), "0s");
  EXPECT_EQ(human_duration(59.4), "59s");
  EXPECT_EQ(human_duration(185), "3m05s");
  EXPECT_EQ(human_duration(7800), "2h10m");
}

TEST(ProgressReporter, NoneWritesNothing) {
  testing::internal::CaptureStderr();
  ProgressReporter reporter("none", 10, 0);
  reporter.finish({.rows_done = 10});
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(ProgressReporter, PlainCountsEarlierRowsToo) {
  testing::internal::CaptureStderr();
  ProgressReporter reporter("plain", 10, 4);
  reporter.finish({.rows_done = 5, .rows_failed = 1});
  const std::string line = testing::internal::GetCapturedStderr();
  EXPECT_EQ(line.rfind("10/10 rows", 0), 0U) << line;
  EXPECT_NE(line.find("1 failed"), std::string::npos) << line;
}

TEST(ProgressReporter, PlainNamesRestartsAndWhenTheJobEnds) {
  testing::internal::CaptureStderr();
  ProgressReporter reporter("plain", 10, 4, 2);
  reporter.finish({.rows_done = 6});
  const std::string line = testing::internal::GetCapturedStderr();
  EXPECT_NE(line.find("ETA 0s"), std::string::npos) << line;
  EXPECT_NE(line.find(", 2 restarts"), std::string::npos) << line;
}

TEST(ProgressReporter, ThereIsNoBarWhereStderrIsNoTerminal) {
  for (const char* mode : {"bar", "auto"}) {
    testing::internal::CaptureStderr();
    ProgressReporter reporter(mode, 10, 0);
    reporter.finish({.rows_done = 10});
    const std::string line = testing::internal::GetCapturedStderr();
    EXPECT_EQ(line.rfind("10/10 rows", 0), 0U) << line;
    EXPECT_EQ(line.find_first_of("\r\x1b"), std::string::npos) << line;
  }
}

TEST(ProgressReporter, JsonIsOneObjectALine) {
  testing::internal::CaptureStderr();
  ProgressReporter reporter("json", 8, 0);
  reporter.finish({.rows_done = 2});
  const std::string line = testing::internal::GetCapturedStderr();
  EXPECT_EQ(line.front(), '{');
  EXPECT_NE(line.find("\"rows_done\":2"), std::string::npos) << line;
  EXPECT_NE(line.find("\"final\":true"), std::string::npos) << line;
}

}  // namespace
}  // namespace gridmill
