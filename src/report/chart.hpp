#pragma once

#include <string>
#include <utility>
#include <vector>

#include "report/statistics.hpp"
#include "report/timeline.hpp"

namespace gridmill::report_detail {

// Charts as static SVG elements. Colours are classes of page.css, so that they follow the theme;
// titles inside them are the browser's tooltips.

struct HistogramLabels {
  std::string unit;      ///< of the values, for titles: "tokens"
  std::string colour;    ///< class of the bars
  bool negated = false;  ///< values are shown with a minus, the largest at the left
  int decimals = 0;      ///< of values
};
/// Bars over a value axis; empty text without bins.
[[nodiscard]] std::string histogram_svg(const std::vector<Distribution::Bin>& bins,
                                        const HistogramLabels& labels);

struct Segment {
  std::string name;
  std::string colour;
  double value = 0;
};
/// One bar in parts that add up to its width; parts without value are left out.
[[nodiscard]] std::string stacked_bar_svg(const std::vector<Segment>& segments);

/// Finished rows over time: a band and a line for each run, dashed between them.
[[nodiscard]] std::string progress_svg(const Timeline& timeline, double rows_total);
/// Generated tokens a second over time, from the points of --metrics; empty text without any.
[[nodiscard]] std::string speed_svg(const Timeline& timeline);

/// Round values for the ticks of an axis from 0 to `most`, about `wanted` of them.
[[nodiscard]] std::vector<double> ticks(double most, int wanted);

}  // namespace gridmill::report_detail
