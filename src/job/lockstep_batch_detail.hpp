#pragma once

#include <cstdint>
#include <span>

#include "gridmill/generate/generate_tokens.hpp"
#include "gridmill/job/job_config.hpp"
#include "gridmill/job/job_plan.hpp"
#include "gridmill/results/row.hpp"

namespace gridmill::job_detail {

/// How a prompt file is cut into batches, and a batch over the data shards, dp-major.
struct BatchCut {
  std::uint64_t rows = 0;   ///< of the file
  std::uint64_t batch = 0;  ///< rows of a batch
  std::uint64_t local = 0;  ///< rows of a batch on one data shard

  [[nodiscard]] std::uint64_t batches() const { return rows / batch; }
  /// First row of a batch on data shard `shard` = dp * fsdp_size + fsdp.
  [[nodiscard]] std::uint64_t first_row(std::uint64_t batch_index, std::uint64_t shard) const {
    return batch_index * batch + shard * local;
  }
};

/// @throws UsageError if the rows do not divide into batches, or a batch among the shards of
/// `grid`.
[[nodiscard]] BatchCut cut_batches(const JobConfig& config, std::uint64_t rows,
                                   const GridShape& grid);

/// The key of batch b: batch 0 draws from the seed's own, batch b from fold_in(key, b): else all
/// batches would share their noise.
[[nodiscard]] JaxRandom jax_random_of(const JobConfig& config, std::uint64_t batch);
/// @param first_row  of the rows that draw.
[[nodiscard]] PhiloxRandom philox_random_of(const JobConfig& config, std::uint64_t first_row);
[[nodiscard]] TokenSampler sampler_of(const JobConfig& config);

/// Row `local` of a generated batch as the result file stores it: `length` ends behind the last
/// valid position. Refers to `batch`.
/// @param given  the row's prefix mask.
[[nodiscard]] RowResult result_of(RowId row, const GeneratedBatch& batch, std::int64_t local,
                                  std::span<const std::uint8_t> given, const JobPlan& plan);

}  // namespace gridmill::job_detail
