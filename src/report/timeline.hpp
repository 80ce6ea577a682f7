#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gridmill/base/json.hpp"

namespace gridmill::report_detail {

/// Finished rows of the file at a time, and tokens that the run has generated until then.
struct ProgressPoint {
  double time_s = 0;  ///< Unix time
  double rows = 0;
  double new_tokens = 0;
};

/// One run of a job.
// NOLINTNEXTLINE(bugprone-exception-escape): the analyser cannot see through Json's move
struct RunSpan {
  double start_s = 0;
  std::optional<double> end_s;  ///< nothing: it runs, or was killed
  std::optional<int> exit_code;
  std::string error;
  std::string start;  ///< as the run log has it
  std::string grid;
  std::string host;
  std::string backend;
  std::string version;
  std::uint64_t nodes = 0;
  std::uint64_t rows_found = 0;        ///< finished by the runs before
  std::uint64_t rows_after = 0;        ///< the same when it was over, or now
  std::vector<ProgressPoint> points;   ///< oldest first; the first is its start
  std::optional<OrderedJson> summary;  ///< of --metrics
};

// NOLINTNEXTLINE(bugprone-exception-escape): the analyser cannot see through Json's move
struct Timeline {
  std::vector<RunSpan> runs;
  double snapshot_s = 0;
  bool has_metrics = false;  ///< intervals or summaries were found

  /// Seconds in which a run was at work. The time of a kill is unknown: the run counts until the
  /// next one began, so this is an upper bound.
  [[nodiscard]] double active_s() const;
  /// Whether that happened.
  [[nodiscard]] bool has_killed_runs() const;
};

/// Seconds since 1970 of "2026-01-31T12:00:00Z"; nothing for any other text.
[[nodiscard]] std::optional<double> parse_utc(const std::string& text);

/// Runs from OUT.h5.runs.jsonl, with the records of a --metrics file between their start and the
/// next one's. Keeps the newest 200 runs and at most 2000 points a run.
/// @param metrics   empty = none.
/// @param finished  rows of the file now.
/// @param now_s     Unix time of the snapshot.
/// @throws MissingInputError if there is no such metrics file; FormatError if it holds no record.
[[nodiscard]] Timeline read_timeline(const std::string& output, const std::string& metrics,
                                     std::uint64_t finished, double now_s);

}  // namespace gridmill::report_detail
