#include "report/timeline.hpp"

#include <gtest/gtest.h>

#include <string>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "support/temporary_folder.hpp"

namespace gridmill::report_detail {
namespace {

using test::TemporaryFolder;

constexpr double kMidnight = 1769817600;  // 2026-01-31T00:00:00Z

TEST(ReportTimeline, TimeStampsAreUtc) {
  EXPECT_EQ(parse_utc("1970-01-01T00:00:10Z"), 10);
  EXPECT_EQ(parse_utc("2026-01-31T00:00:00Z"), kMidnight);
  EXPECT_FALSE(parse_utc("2026-01-31 00:00:00"));
  EXPECT_FALSE(parse_utc("2026-01-31T00:00:0xZ"));
}

TEST(ReportTimeline, WithoutARunLogThereAreNoRuns) {
  const TemporaryFolder folder;
  const Timeline timeline = read_timeline(folder.file("out.h5"), "", 10, kMidnight);
  EXPECT_TRUE(timeline.runs.empty());
  EXPECT_EQ(timeline.active_s(), 0);
}

class TimelineOfThreeRuns : public ::testing::Test {
 protected:
  TimelineOfThreeRuns() {
    folder_.write(
        "out.h5.runs.jsonl",
        R"({"start":"2026-01-31T00:00:00Z","grid":{"dp":2,"fsdp":1,"tp":4},)"
        R"("rows_found":{"done":0,"failed":0},"end":"2026-01-31T00:01:00Z","exit_code":75})"
        "\n"
        R"({"start":"2026-01-31T00:02:00Z","rows_found":{"done":30,"failed":2}})"
        "\ncut short\n"
        R"({"start":"2026-01-31T00:04:00Z","rows_found":{"done":50,"failed":3}})"
        "\n");
  }
  TemporaryFolder folder_;
};

TEST_F(TimelineOfThreeRuns, EndsAreThoseThatTheNextRunFound) {
  const Timeline timeline = read_timeline(folder_.file("out.h5"), "", 80, kMidnight + 300);
  ASSERT_EQ(timeline.runs.size(), 3U);
  EXPECT_EQ(timeline.runs[0].grid, "2 × 1 × 4");
  EXPECT_EQ(timeline.runs[0].exit_code, 75);
  EXPECT_EQ(timeline.runs[0].points.back().rows, 32);
  EXPECT_EQ(timeline.runs[0].points.back().time_s, kMidnight + 60);
  EXPECT_FALSE(timeline.runs[1].exit_code);
  EXPECT_EQ(timeline.runs[1].points.size(), 1U) << "nobody knows when it was killed";
  EXPECT_EQ(timeline.runs[2].points.back().rows, 80);
  EXPECT_EQ(timeline.runs[1].rows_after, 53U);
  EXPECT_EQ(timeline.active_s(), 60 + 120 + 60) << "the second run until the third began, at most";
  EXPECT_TRUE(timeline.has_killed_runs());
}

TEST_F(TimelineOfThreeRuns, MetricsTellWhatHappenedInBetween) {
  folder_.write(
      "m.jsonl",
      R"({"record":"interval","time":"2026-01-31T00:00:10Z","rows_done":8,"rows_failed":1,"new_tokens":900})"
      "\n"
      R"({"record":"interval","time":"2026-01-31T00:02:10Z","rows_done":4,"rows_failed":0,"new_tokens":400})"
      "\n"
      R"({"record":"summary","time":"2026-01-31T00:01:00Z","new_tokens":5000})"
      "\n{\"rec");
  const Timeline timeline =
      read_timeline(folder_.file("out.h5"), folder_.file("m.jsonl"), 80, kMidnight + 300);
  ASSERT_EQ(timeline.runs.size(), 3U);
  ASSERT_EQ(timeline.runs[0].points.size(), 3U);
  EXPECT_EQ(timeline.runs[0].points[1].rows, 9);
  EXPECT_EQ(timeline.runs[0].points[1].new_tokens, 900);
  EXPECT_EQ(timeline.runs[0].points[2].new_tokens, 5000);
  ASSERT_TRUE(timeline.runs[0].summary.has_value());
  ASSERT_EQ(timeline.runs[1].points.size(), 2U);
  EXPECT_EQ(timeline.runs[1].points[1].rows, 36);
  EXPECT_TRUE(timeline.has_metrics);
}

TEST_F(TimelineOfThreeRuns, ALongRunKeepsABoundedNumberOfPoints) {
  std::string text;
  for (int i = 1; i <= 20'000; ++i) {
    text += fmt::format(
        R"({{"record":"interval","time":"2026-01-31T{:02}:{:02}:{:02}Z","rows_done":{}}})"
        "\n",
        4 + i / 3600, i / 60 % 60, i % 60, i);
  }
  folder_.write("m.jsonl", text);
  const Timeline timeline =
      read_timeline(folder_.file("out.h5"), folder_.file("m.jsonl"), 80, kMidnight + 86400);
  EXPECT_LE(timeline.runs[2].points.size(), 2001U);
  EXPECT_GE(timeline.runs[2].points.size(), 900U);
}

TEST_F(TimelineOfThreeRuns, MetricsThatAreNoneAreRefused) {
  folder_.write("m.jsonl", "no records\n");
  EXPECT_THROW(static_cast<void>(
                   read_timeline(folder_.file("out.h5"), folder_.file("m.jsonl"), 80, kMidnight)),
               FormatError);
  EXPECT_THROW(
      static_cast<void>(read_timeline(folder_.file("out.h5"), folder_.file("none"), 80, kMidnight)),
      MissingInputError);
}

}  // namespace
}  // namespace gridmill::report_detail
