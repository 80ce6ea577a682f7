#include "report/timeline.hpp"

#include <algorithm>
#include <cstddef>
#include <ctime>
#include <fstream>
#include <functional>
#include <ios>
#include <iterator>
#include <limits>
#include <string_view>
#include <utility>

#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/results/run_log.hpp"

namespace gridmill::report_detail {

namespace {

constexpr std::size_t kMostRuns = 200;
constexpr std::size_t kMostPoints = 2000;
/// A record has some 2 kB; longer lines are none.
constexpr std::size_t kMostLineBytes = std::size_t{1} << 20U;

/// The objects of a .jsonl file, one at a time. Lines that are none are passed over: a kill may
/// have cut them short.
/// @return how many there were.
std::size_t each_record(const std::string& path, const std::function<void(const Json&)>& use) {
  std::ifstream file(path);
  std::vector<char> line(kMostLineBytes);
  std::size_t count = 0;
  while (file) {
    file.getline(line.data(), static_cast<std::streamsize>(line.size()));
    if (file.fail() && !file.eof() && file.gcount() > 0) {  // longer than the buffer
      file.clear();
      file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
      continue;
    }
    try {
      const Json record = parse_json(line.data(), path);
      if (!record.is_object()) continue;
      use(record);
      ++count;
    } catch (const FormatError&) {
    }
  }
  return count;
}

/// A member of the wrong type counts as absent: the page shows what can be read.
std::string text_of(const Json& record, const char* name) {
  const auto found = record.find(name);
  return found != record.end() && found->is_string() ? found->get<std::string>() : "";
}
double number_of(const Json& record, const char* name) {
  const auto found = record.find(name);
  return found != record.end() && found->is_number() ? std::max(0.0, found->get<double>()) : 0.0;
}
/// Whole, and small enough for its type.
std::uint64_t count_of(const Json& record, const char* name) {
  constexpr double kMostCounted = 1e18;
  return static_cast<std::uint64_t>(std::min(number_of(record, name), kMostCounted));
}

std::optional<RunSpan> run_of(const Json& record) {
  const std::optional<double> start = parse_utc(text_of(record, "start"));
  if (!start) return std::nullopt;
  RunSpan run;
  run.start_s = *start;
  run.end_s = parse_utc(text_of(record, "end"));
  run.start = text_of(record, "start");
  run.error = text_of(record, "error");
  run.host = text_of(record, "host");
  run.backend = text_of(record, "backend");
  run.version = text_of(record, "version");
  run.nodes = count_of(record, "nodes");
  if (const auto code = record.find("exit_code"); code != record.end() && code->is_number()) {
    run.exit_code = code->get<int>();
  }
  if (const auto grid = record.find("grid"); grid != record.end() && grid->is_object()) {
    run.grid = fmt::format("{} × {} × {}", count_of(*grid, "dp"), count_of(*grid, "fsdp"),
                           count_of(*grid, "tp"));
  }
  if (const auto found = record.find("rows_found"); found != record.end() && found->is_object()) {
    run.rows_found = count_of(*found, "done") + count_of(*found, "failed");
  }
  run.points.push_back({run.start_s, static_cast<double>(run.rows_found), 0});
  return run;
}

/// Every second point goes where there are too many.
void thin_out(std::vector<ProgressPoint>& points) {
  if (points.size() < kMostPoints) return;
  std::size_t kept = 0;
  for (std::size_t i = 0; i < points.size(); i += 2) points[kept++] = points[i];
  points.resize(kept);
}

/// The run that was at work at a time: the last one that began until then.
RunSpan* run_at(std::vector<RunSpan>& runs, double time_s) {
  const auto behind =
      std::upper_bound(runs.begin(), runs.end(), time_s,
                       [](double time, const RunSpan& run) { return time < run.start_s; });
  return behind == runs.begin() ? nullptr : &*std::prev(behind);
}

void add_metrics(const std::string& path, Timeline& timeline) {
  static_cast<void>(open_for_reading(path));
  const std::size_t records = each_record(path, [&timeline](const Json& record) {
    const std::optional<double> time = parse_utc(text_of(record, "time"));
    if (!time) return;
    RunSpan* run = run_at(timeline.runs, *time);
    if (run == nullptr) return;
    timeline.has_metrics = true;
    if (text_of(record, "record") == "summary") {
      run->summary = OrderedJson(record);
      if (run->end_s) return;
    }
    // Time stamps have whole seconds: what the start has already said is not said again.
    if (*time <= run->points.back().time_s) return;
    run->points.push_back({*time,
                           static_cast<double>(run->rows_found) + number_of(record, "rows_done") +
                               number_of(record, "rows_failed"),
                           number_of(record, "new_tokens")});
    thin_out(run->points);
  });
  if (records == 0) {
    throw FormatError(fmt::format("{} holds no record; is it a file of --metrics?", path));
  }
}

/// The last point of each run: what the next run found, or the file holds now.
void close_runs(Timeline& timeline, std::uint64_t finished) {
  std::vector<RunSpan>& runs = timeline.runs;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    RunSpan& run = runs[i];
    const bool is_last = i + 1 == runs.size();
    run.rows_after = is_last ? finished : runs[i + 1].rows_found;
    double tokens = run.points.back().new_tokens;
    if (run.summary) tokens = std::max(tokens, number_of(*run.summary, "new_tokens"));
    std::optional<double> end = run.end_s;
    if (!end && is_last) end = timeline.snapshot_s;
    if (!end) continue;
    run.points.push_back(
        {std::max(*end, run.points.back().time_s), static_cast<double>(run.rows_after), tokens});
  }
}

}  // namespace

double Timeline::active_s() const {
  double sum = 0;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const bool killed = !runs[i].end_s && i + 1 < runs.size();
    sum += (killed ? runs[i + 1].start_s : runs[i].points.back().time_s) - runs[i].start_s;
  }
  return sum;
}

bool Timeline::has_killed_runs() const {
  for (std::size_t i = 0; i + 1 < runs.size(); ++i) {
    if (!runs[i].end_s) return true;
  }
  return false;
}

std::optional<double> parse_utc(const std::string& text) {
  constexpr std::string_view kShape = "dddd-dd-ddTdd:dd:ddZ";
  if (text.size() != kShape.size()) return std::nullopt;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool digit = text[i] >= '0' && text[i] <= '9';
    if (kShape[i] == 'd' ? !digit : text[i] != kShape[i]) return std::nullopt;
  }
  const auto field = [&text](std::size_t at, std::size_t size) {
    int value = 0;
    for (std::size_t i = at; i < at + size; ++i) value = 10 * value + (text[i] - '0');
    return value;
  };
  std::tm parts{};
  parts.tm_year = field(0, 4) - 1900;
  parts.tm_mon = field(5, 2) - 1;
  parts.tm_mday = field(8, 2);
  parts.tm_hour = field(11, 2);
  parts.tm_min = field(14, 2);
  parts.tm_sec = field(17, 2);
  return static_cast<double>(::timegm(&parts));
}

Timeline read_timeline(const std::string& output, const std::string& metrics,
                       std::uint64_t finished, double now_s) {
  Timeline timeline;
  timeline.snapshot_s = now_s;
  for (const Json& record : newest_runs(output, kMostRuns)) {
    if (std::optional<RunSpan> run = run_of(record)) timeline.runs.push_back(std::move(*run));
  }
  std::stable_sort(timeline.runs.begin(), timeline.runs.end(),
                   [](const RunSpan& a, const RunSpan& b) { return a.start_s < b.start_s; });
  if (!metrics.empty()) add_metrics(metrics, timeline);
  close_runs(timeline, finished);
  return timeline;
}

}  // namespace gridmill::report_detail
