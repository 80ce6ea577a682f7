#pragma once

#include <cstdint>
#include <vector>

#include "gridmill/base/json.hpp"
#include "gridmill/generate/pass_simulation.hpp"
#include "gridmill/kernels/backend.hpp"
#include "gridmill/kernels/machine_limits.hpp"

namespace gridmill {

/// What a short job on this machine showed.
struct Calibration {
  MachineLimits limits{};   ///< the better of before and after, of all threads
  double share = 1;         ///< least time by these limits, over the time that the job took
  double seconds = 0;       ///< that the job took
  std::int64_t layers = 0;  ///< of the model that ran, and of the whole one
  std::int64_t all_layers = 0;
};

/// A short job: rows like those of the planned one, but fewer and perhaps shorter.
struct CalibrationJob {
  std::vector<RowLength> lengths;  ///< not empty
  int slots = 1;
  int threads = 1;
  std::int64_t pass_rows = 512;
  double most_s = 30;            ///< about
  std::uint64_t most_bytes = 0;  ///< of weights; a larger model runs with fewer layers
};

/// Runs the Generator on random weights of a model, on one rank.
/// @param config   gridmill's own configuration (docs/models.md).
/// @param backend  one with host memory.
/// @throws ResourceError if the embedding, the head and one layer are more than `most_bytes`.
[[nodiscard]] Calibration calibrate(const Json& config, Backend& backend,
                                    const CalibrationJob& job);

}  // namespace gridmill
