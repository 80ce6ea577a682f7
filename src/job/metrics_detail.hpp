#pragma once

#include <cstdint>
#include <fstream>
#include <optional>
#include <string>

#include "gridmill/base/clock.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/job/progress.hpp"
#include "gridmill/job/run_context.hpp"
#include "job/replica_detail.hpp"

namespace gridmill::job_detail {

/// Seconds that this rank spent in the stages of a run.
struct StageTimes {
  double open_s = 0;       ///< grid, checkpoint, prompts, result file
  double load_s = 0;       ///< reading and gathering parameters
  double generate_s = 0;   ///< the loop
  double finish_s = 0;     ///< last commit
  double tail_idle_s = 0;  ///< own rows done and committed, others not yet
};

/// Writes --metrics: FILE.jsonl gets a record every 10 s and a summary, FILE.prom is replaced by
/// the newest state as often. Rank 0; others make no file.
class MetricsWriter {
 public:
  /// @param path        empty = write nothing. @throws OutputError if it cannot be written.
  /// @param output      the result file, a label of FILE.prom.
  /// @param rows_total  rows of the job.
  MetricsWriter(std::string path, std::string output, std::uint64_t rows_total);
  void update(const ProgressCounts& counts);
  void finish(const OrderedJson& summary, const ProgressCounts& counts);

 private:
  [[nodiscard]] OrderedJson interval(const ProgressCounts& counts) const;
  void write(const OrderedJson& record);
  std::string path_;
  std::string output_;
  std::uint64_t rows_total_;
  std::ofstream file_;
  SteadyClock::time_point start_ = SteadyClock::now();
  SteadyClock::time_point last_ = SteadyClock::now();
};

/// Collective over the world: what the run did, with the spread over ranks of what differs between
/// them.
/// @param predicted_bytes  predicted_resident_bytes().
[[nodiscard]] OrderedJson summarize(RunContext& context, const Replica& replica,
                                    const StageTimes& stages, const StoreCounters& store,
                                    std::optional<std::uint64_t> predicted_bytes);

}  // namespace gridmill::job_detail
