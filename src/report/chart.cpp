#include "report/chart.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

#include "gridmill/base/format.hpp"
#include "report/markup.hpp"

namespace gridmill::report_detail {

namespace {

// Every chart has the same width in its own units; the page scales it.
constexpr double kWidth = 560;
constexpr double kLeft = 48;
constexpr double kRight = 552;
constexpr double kTop = 12;

std::string open_svg(double width, double height, const std::string& label) {
  return fmt::format(R"(<svg viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}">)", width,
                     height, escape(label));
}

/// Horizontal lines with their values, from `bottom` up to `top`.
std::string value_axis(double most, double top, double bottom, double right) {
  std::string out;
  for (const double value : ticks(most, 4)) {
    const double y = bottom - (bottom - top) * value / most;
    out += fmt::format(
        R"(<line class="grid" x1="{0}" x2="{1}" y1="{2:.1f}" y2="{2:.1f}"/><text class="end" x="{3}" y="{4:.1f}">{5}</text>)",
        kLeft, right, y, kLeft - 7, y + 4, compact(value));
  }
  return out;
}

/// Width of the steps of a time axis that shows about six of them.
double time_step(double span_s) {
  constexpr std::array<double, 22> kSteps = {
      1,    2,    5,    10,    20,    30,    60,    120,    300,    600,    1200,
      1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 432000, 864000, 2592000};
  for (const double step : kSteps) {
    if (span_s / step <= 7) return step;
  }
  return std::ceil(span_s / 7 / kSteps.back()) * kSteps.back();
}

std::string time_label(double seconds) {
  if (seconds == 0) return "0";
  if (seconds < 60) return fmt::format("{:.0f} s", seconds);
  if (seconds < 3600) return fmt::format("{:g} min", seconds / 60);
  if (seconds < 86400) return fmt::format("{:g} h", seconds / 3600);
  return fmt::format("{:g} d", seconds / 86400);
}

/// Places of a chart over the time of all runs.
class TimeFrame {
 public:
  static constexpr double kTimeWidth = 1160;
  static constexpr double kTimeRight = 1150;
  TimeFrame(const Timeline& timeline, double bottom)
      : start_s_(timeline.runs.front().start_s), bottom_(bottom) {
    double end_s = start_s_;
    for (const RunSpan& run : timeline.runs) end_s = std::max(end_s, run.points.back().time_s);
    span_s_ = std::max(1.0, end_s - start_s_);
  }
  [[nodiscard]] double x(double time_s) const {
    return kLeft + (kTimeRight - kLeft) * (time_s - start_s_) / span_s_;
  }
  /// Labels below, and a band for each run.
  [[nodiscard]] std::string background(const Timeline& timeline) const {
    std::string out;
    for (std::size_t i = 0; i < timeline.runs.size(); ++i) {
      const RunSpan& run = timeline.runs[i];
      const double from = x(run.start_s);
      const double to = x(run.points.back().time_s);
      out += fmt::format(
          R"(<rect class="f-band" x="{:.1f}" y="{}" width="{:.1f}" height="{}"><title>run {} of {}</title></rect>)",
          from, kTop, std::max(1.0, to - from), bottom_ - kTop, i + 1, timeline.runs.size());
      if (i > 0) {
        out += fmt::format(
            R"(<line class="s-run" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"><title>restart {3}, {4}</title></line>)",
            from, kTop, bottom_, i, escape(run.start));
      }
    }
    const double step = time_step(span_s_);
    for (int i = 0; i * step <= span_s_ * 1.0001; ++i) {
      const double time_s = i * step;
      out += fmt::format(R"(<text class="mid" x="{:.1f}" y="{}">{}</text>)", x(start_s_ + time_s),
                         bottom_ + 18, time_label(time_s));
    }
    return out + fmt::format(R"(<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/>)", kLeft,
                             kTimeRight, bottom_, bottom_);
  }

 private:
  double start_s_;
  double span_s_ = 1;
  double bottom_;
};

}  // namespace

std::vector<double> ticks(double most, int wanted) {
  if (!(most > 0)) return {0};
  const double rough = most / wanted;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= rough) {
      step = factor * power;
      break;
    }
  }
  std::vector<double> values;
  for (int i = 0; i * step <= most * 1.0001; ++i) values.push_back(i * step);
  return values;
}

std::string histogram_svg(const std::vector<Distribution::Bin>& bins,
                          const HistogramLabels& labels) {
  if (bins.empty()) return "";
  constexpr double kHeight = 210;
  constexpr double kBottom = 184;
  double most = 1;
  for (const Distribution::Bin& bin : bins) most = std::max(most, static_cast<double>(bin.count));
  const double sign = labels.negated ? -1 : 1;
  const auto shown = [&labels, sign](double value) {
    return fmt::format("{:.{}f}", value == 0 ? 0.0 : sign * value, labels.decimals);
  };
  std::string out =
      open_svg(kWidth, kHeight, labels.unit) + value_axis(most, kTop, kBottom, kRight);
  const double step = (kRight - kLeft) / static_cast<double>(bins.size());
  const auto place = [&](std::size_t i) {
    return kLeft + step * static_cast<double>(labels.negated ? bins.size() - 1 - i : i);
  };
  for (std::size_t i = 0; i < bins.size(); ++i) {
    const Distribution::Bin& bin = bins[i];
    const double height = (kBottom - kTop) * static_cast<double>(bin.count) / most;
    const double drawn = bin.count > 0 ? std::max(height, 1.5) : 0;
    out += fmt::format(
        R"(<rect class="bar {}" x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}" rx="1.5"><title>{} to {} {}: {}</title></rect>)",
        labels.colour, place(i) + step * .06, kBottom - drawn, step * .88, drawn, shown(bin.from),
        shown(bin.to), escape(labels.unit), grouped(bin.count));
  }
  const std::size_t every = std::max<std::size_t>(1, (bins.size() + 5) / 6);
  for (std::size_t i = 0; i < bins.size(); i += every) {
    out += fmt::format(R"(<text class="mid" x="{:.1f}" y="{}">{}</text>)",
                       place(i) + (labels.negated ? step : 0), kBottom + 18, shown(bins[i].from));
  }
  return out + fmt::format(R"(<line class="axis" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/></svg>)",
                           kLeft, kRight, kBottom);
}

std::string stacked_bar_svg(const std::vector<Segment>& segments) {
  double sum = 0;
  for (const Segment& segment : segments) sum += segment.value;
  if (sum <= 0) return "";
  // Stretched to the width that the page has, at a height that page.css gives.
  constexpr double kWhole = 1000;
  std::string out =
      R"(<svg class="shares" viewBox="0 0 1000 24" preserveAspectRatio="none" role="img" aria-label="shares">)";
  double x = 0;
  for (const Segment& segment : segments) {
    if (segment.value <= 0) continue;
    const double width = kWhole * segment.value / sum;
    out += fmt::format(
        R"(<rect class="bar {}" x="{:.2f}" y="0" width="{:.2f}" height="24"><title>{}: {}</title></rect>)",
        segment.colour, x, std::max(1.0, width - 1.5), escape(segment.name),
        percent(segment.value / sum));
    x += width;
  }
  return out + "</svg>";
}

std::string progress_svg(const Timeline& timeline, double rows_total) {
  if (timeline.runs.empty()) return "";
  constexpr double kHeight = 250;
  constexpr double kBottom = 222;
  const TimeFrame frame(timeline, kBottom);
  const double most = std::max(1.0, rows_total);
  const auto y = [most](double rows) {
    return kBottom - (kBottom - kTop) * std::min(rows, most) / most;
  };
  std::string out = open_svg(TimeFrame::kTimeWidth, kHeight, "finished rows over time") +
                    frame.background(timeline) +
                    value_axis(most, kTop, kBottom, TimeFrame::kTimeRight);
  const ProgressPoint* before = nullptr;
  for (const RunSpan& run : timeline.runs) {
    std::string path;
    for (const ProgressPoint& point : run.points) {
      path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", frame.x(point.time_s),
                          y(point.rows));
    }
    const ProgressPoint& first = run.points.front();
    const ProgressPoint& last = run.points.back();
    out += fmt::format(R"(<path class="f-area" d="{}L{:.1f} {}L{:.1f} {}Z"/>)", path,
                       frame.x(last.time_s), kBottom, frame.x(first.time_s), kBottom);
    if (before != nullptr) {
      out += fmt::format(R"(<path class="s-gap" d="M{:.1f} {:.1f}L{:.1f} {:.1f}"/>)",
                         frame.x(before->time_s), y(before->rows), frame.x(first.time_s),
                         y(first.rows));
    }
    out += fmt::format(
        R"(<path class="s-new" d="{}"><title>{} to {} rows</title></path><circle class="f-new" cx="{:.1f}" cy="{:.1f}" r="3.4"/>)",
        path, grouped(static_cast<std::uint64_t>(first.rows)),
        grouped(static_cast<std::uint64_t>(last.rows)), frame.x(last.time_s), y(last.rows));
    before = &last;
  }
  return out + "</svg>";
}

std::string speed_svg(const Timeline& timeline) {
  constexpr double kHeight = 170;
  constexpr double kBottom = 142;
  double most = 0;
  // A step of the curve lies between two points of a run.
  const auto each_step = [&timeline](const auto& use) {
    for (const RunSpan& run : timeline.runs) {
      for (std::size_t i = 1; i < run.points.size(); ++i) {
        const ProgressPoint& from = run.points[i - 1];
        const ProgressPoint& to = run.points[i];
        if (to.time_s <= from.time_s || to.new_tokens <= 0) continue;
        use(from.time_s, to.time_s,
            std::max(0.0, to.new_tokens - from.new_tokens) / (to.time_s - from.time_s));
      }
    }
  };
  each_step([&most](double, double, double rate) { most = std::max(most, rate); });
  if (most <= 0) return "";
  const TimeFrame frame(timeline, kBottom);
  std::string out =
      open_svg(TimeFrame::kTimeWidth, kHeight, "generated tokens a second over time") +
      frame.background(timeline) + value_axis(most, kTop, kBottom, TimeFrame::kTimeRight);
  each_step([&](double from_s, double to_s, double rate) {
    const double height = (kBottom - kTop) * rate / most;
    out += fmt::format(
        R"(<rect class="bar f-new" x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}"><title>{} tokens/s</title></rect>)",
        frame.x(from_s), kBottom - height, std::max(.6, frame.x(to_s) - frame.x(from_s) - .4),
        height, compact(rate));
  });
  return out + "</svg>";
}

}  // namespace gridmill::report_detail
