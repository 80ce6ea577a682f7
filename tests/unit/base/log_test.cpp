#include "gridmill/base/log.hpp"

#include <gtest/gtest.h>

#include <regex>
#include <string>

#include "gridmill/base/error.hpp"

namespace gridmill::log {
namespace {

using ::testing::internal::CaptureStderr;
using ::testing::internal::GetCapturedStderr;

/// Puts the defaults back.
class Log : public ::testing::Test {
 protected:
  ~Log() override { configure(Level::info, 0); }
};

TEST_F(Log, ALineHasTimeRankLevelAndText) {
  configure(Level::info, 0);
  CaptureStderr();
  info("loaded {} parameters", 12);
  const std::string text = GetCapturedStderr();
  EXPECT_TRUE(std::regex_match(
      text, std::regex(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ rank 0 info: loaded 12 parameters\n)")))
      << text;
}

TEST_F(Log, LevelsBelowTheChosenOneAreNotWritten) {
  configure(Level::warn, 0);
  CaptureStderr();
  info("not shown");
  debug("not shown");
  warn("shown");
  const std::string text = GetCapturedStderr();
  EXPECT_EQ(text.find("not shown"), std::string::npos) << text;
  EXPECT_NE(text.find("warn: shown"), std::string::npos) << text;
}

TEST_F(Log, OtherRanksSpeakOnlyWhenEveryRankMatters) {
  configure(Level::info, 3);
  CaptureStderr();
  info("from the root");
  each_rank(Level::info, "from rank {}", 3);
  const std::string text = GetCapturedStderr();
  EXPECT_EQ(text.find("from the root"), std::string::npos) << text;
  EXPECT_NE(text.find("rank 3 info: from rank 3\n"), std::string::npos) << text;
}

TEST_F(Log, LevelsAreKnownByName) {
  EXPECT_EQ(level_from_name("error"), Level::error);
  EXPECT_EQ(level_from_name("warn"), Level::warn);
  EXPECT_EQ(level_from_name("info"), Level::info);
  EXPECT_EQ(level_from_name("debug"), Level::debug);
  EXPECT_EQ(level_from_name("trace"), Level::trace);
  EXPECT_THROW((void)level_from_name("verbose"), UsageError);
  EXPECT_THROW((void)level_from_name(""), UsageError);
}

}  // namespace
}  // namespace gridmill::log
