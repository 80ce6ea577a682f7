#include "report/chart.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace gridmill::report_detail {
namespace {

/// How often `part` occurs in `text`.
int occurrences(const std::string& text, std::string_view part) {
  int count = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST(ReportChart, TicksAreRound) {
  EXPECT_EQ(ticks(10, 4), (std::vector<double>{0, 5, 10}));
  EXPECT_EQ(ticks(100, 4), (std::vector<double>{0, 50, 100}));
  EXPECT_EQ(ticks(0, 4), (std::vector<double>{0}));
}

TEST(ReportChart, AHistogramHasABarABin) {
  const std::vector<Distribution::Bin> bins = {{0, 10, 5}, {10, 20, 0}, {20, 30, 1}};
  const std::string svg = histogram_svg(bins, {.unit = "tokens", .colour = "f-new"});
  EXPECT_EQ(occurrences(svg, "<rect"), 3);
  EXPECT_NE(svg.find("<title>0 to 10 tokens: 5</title>"), std::string::npos) << svg;
  EXPECT_EQ(histogram_svg({}, {}), "");
}

TEST(ReportChart, NegatedValuesGrowToTheRight) {
  const std::vector<Distribution::Bin> bins = {{0, 0.5, 5}, {0.5, 1, 2}};
  const std::string svg =
      histogram_svg(bins, {.unit = "logprob", .colour = "f-new", .negated = true, .decimals = 1});
  EXPECT_NE(svg.find("<title>0.0 to -0.5 logprob: 5</title>"), std::string::npos) << svg;
  const auto place = [&svg](const char* title) {
    const std::size_t bar = svg.rfind(" x=\"", svg.find(title));
    return std::stod(svg.substr(bar + 4));
  };
  EXPECT_GT(place("<title>0.0 to"), place("<title>-0.5 to"));
}

TEST(ReportChart, SharesWithoutValueAreLeftOut) {
  const std::string svg = stacked_bar_svg({{"a", "f-eod", 3}, {"b", "f-stop", 0}, {"c", "x", 1}});
  EXPECT_EQ(occurrences(svg, "<rect"), 2);
  EXPECT_NE(svg.find("a: 75.0 %"), std::string::npos) << svg;
  EXPECT_EQ(stacked_bar_svg({{"a", "f-eod", 0}}), "");
}

TEST(ReportChart, ProgressShowsRunsAndTheTimeBetweenThem) {
  Timeline timeline;
  RunSpan run;
  run.start_s = 100;
  run.points = {{100, 0, 0}, {110, 5, 50}};
  timeline.runs.push_back(run);
  run.start_s = 200;
  run.rows_found = 5;
  run.points = {{200, 5, 0}, {220, 10, 80}};
  timeline.runs.push_back(run);
  const std::string svg = progress_svg(timeline, 10);
  EXPECT_EQ(occurrences(svg, "class=\"f-band\""), 2);
  EXPECT_EQ(occurrences(svg, "class=\"s-gap\""), 1);
  EXPECT_NE(svg.find("<title>5 to 10 rows</title>"), std::string::npos) << svg;
  const std::string speed = speed_svg(timeline);
  EXPECT_NE(speed.find("<title>5 tokens/s</title>"), std::string::npos) << speed;
  EXPECT_NE(speed.find("<title>4 tokens/s</title>"), std::string::npos) << speed;
}

TEST(ReportChart, NoRunsNoChart) {
  EXPECT_EQ(progress_svg({}, 10), "");
  EXPECT_EQ(speed_svg({}), "");
}

}  // namespace
}  // namespace gridmill::report_detail
