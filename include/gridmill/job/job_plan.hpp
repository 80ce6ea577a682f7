#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gridmill/base/ids.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/checkpoint/checkpoint_file.hpp"
#include "gridmill/job/job_config.hpp"
#include "gridmill/job/lease_queue.hpp"
#include "gridmill/model/model.hpp"
#include "gridmill/results/layout.hpp"
#include "gridmill/sampling/sampling_options.hpp"

namespace gridmill {

/// A configuration with every "auto" resolved against the model and the prompts.
// NOLINTNEXTLINE(bugprone-exception-escape): the analyser cannot see through Json's move
struct JobPlan {
  std::uint64_t prompts = 0;
  std::uint64_t rows = 0;       ///< prompts * samples_per_prompt
  RowRange range;               ///< rows that this run does: all, or those of its part
  std::int32_t max_length = 0;  ///< of a score job without one: the model's limit
  SamplingOptions sampling;
  RowLimits limits;  ///< eod_token_ids: sorted; empty = never stop
  /// Every option and input that influences a row, and nothing else: equal values promise equal
  /// bytes.
  Json identity;
};

/// Length of the longest row. @throws UsageError beyond the model's limit.
[[nodiscard]] std::int32_t resolve_max_length(const JobConfig& config, const ModelInfo& model);

/// The result file of a job. Of `plan` rows and max_length count.
[[nodiscard]] ResultShape result_shape(const JobConfig& config, const JobPlan& plan,
                                       std::int64_t vocab_size);

/// Options of `gridmill score` out of a job's identity. @throws Json::exception
[[nodiscard]] ScoreOptions score_options_from_json(const Json& fields);

/// Hash and size of the prompts, for the identity of a job.
struct PromptFileInfo {
  std::string hash;
  std::uint64_t count = 0;
};

/// @param numerics_id  of the backend.
/// @throws UsageError for a max-length beyond the model's limit or eod ids outside the vocabulary.
[[nodiscard]] JobPlan plan_job(const JobConfig& config, const CheckpointFile& checkpoint,
                               const ModelInfo& model, const PromptFileInfo& prompts,
                               const std::string& numerics_id, const GridShape& grid);

}  // namespace gridmill
