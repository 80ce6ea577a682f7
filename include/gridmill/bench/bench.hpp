#pragma once

#include <string>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/job/job_config.hpp"

namespace gridmill {

/// One run of `gridmill bench`. Names and defaults as in docs/cli.md.
struct BenchConfig {
  std::string shape;  ///< a name (bench_shapes) or a config.json; empty: `run.model` must exist
  std::string dtype = "bf16";         ///< of the parameters: bf16, fp32
  std::vector<int> batches = {1, 8};  ///< rows in flight, one figure each
  int prompt = 64;                    ///< tokens of every prompt
  int gen = 64;                       ///< tokens generated for every row; at least 2
  int repeat = 3;
  /// Backend, threads, and the checkpoint: made of random weights if it does not exist; empty = a
  /// temporary file. Grid and slots are the benchmark's own.
  RunOptions run;
};

/// Names that --shape takes.
[[nodiscard]] const std::vector<std::string>& bench_shapes();

/// Runs prefill and decode of every batch size through the Generator and prints one JSON line each
/// on stdout (docs/performance.md says what is in it).
/// @throws UsageError on more than one rank, for a backend that is not on the host, an unknown
/// shape or a model that is too short; whatever reading a checkpoint throws.
ExitCode run_bench_job(const BenchConfig& config);

}  // namespace gridmill
