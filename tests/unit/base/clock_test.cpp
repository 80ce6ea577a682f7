#include "gridmill/base/clock.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <ctime>
#include <regex>
#include <string>

#include "gridmill/base/error.hpp"

namespace gridmill {
namespace {

using std::chrono::milliseconds;

TEST(ParseDuration, UnderstandsEveryUnit) {
  EXPECT_EQ(parse_duration("50ms", "--commit-interval"), milliseconds(50));
  EXPECT_EQ(parse_duration("2s", "--commit-interval"), milliseconds(2000));
  EXPECT_EQ(parse_duration("5m", "--time-limit"), milliseconds(300000));
  EXPECT_EQ(parse_duration("1h", "--time-limit"), milliseconds(3600000));
}

TEST(ParseDuration, ABareNumberIsSeconds) {
  EXPECT_EQ(parse_duration("3", "--time-limit"), milliseconds(3000));
  EXPECT_EQ(parse_duration("0", "--time-limit"), milliseconds(0));
}

TEST(ParseDuration, TakesFractionsAndRoundsToMilliseconds) {
  EXPECT_EQ(parse_duration("1.5s", "--time-limit"), milliseconds(1500));
  EXPECT_EQ(parse_duration("0.25h", "--time-limit"), milliseconds(900000));
  EXPECT_EQ(parse_duration("0.6ms", "--time-limit"), milliseconds(1));
}

TEST(ParseDuration, RefusesEverythingElse) {
  for (const char* text : {"", "s", "ms", "5d", "5 s", " 5s", "5s ", "-1s", "-0.1ms", "inf", "nan",
                           "1e300h", "+5s", "5S", "0x10s", "5s5s"}) {
    EXPECT_THROW((void)parse_duration(text, "--time-limit"), UsageError) << "'" << text << "'";
  }
}

TEST(ParseDuration, TheMessageNamesOptionAndValue) {
  try {
    (void)parse_duration("soon", "--time-limit");
    FAIL() << "nothing was thrown";
  } catch (const UsageError& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find("--time-limit is 'soon'"), std::string::npos) << message;
    EXPECT_NE(message.find("50ms"), std::string::npos) << message;
  }
}

TEST(Clock, SecondsSinceNeverGoesBackwards) {
  const SteadyClock::time_point start = SteadyClock::now();
  const double first = seconds_since(start);
  const double second = seconds_since(start);
  EXPECT_GE(first, 0.0);
  EXPECT_GE(second, first);
  EXPECT_NEAR(seconds_since(start - std::chrono::seconds(10)), 10.0, 5.0);
}

TEST(Clock, TheTimestampIsUtcInIsoForm) {
  const std::string text = utc_timestamp();
  EXPECT_TRUE(std::regex_match(text, std::regex(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)"))) << text;
  std::tm parts{};
  ASSERT_NE(strptime(text.c_str(), "%Y-%m-%dT%H:%M:%SZ", &parts), nullptr);
  EXPECT_NEAR(static_cast<double>(timegm(&parts)), static_cast<double>(std::time(nullptr)), 60.0);
}

}  // namespace
}  // namespace gridmill
