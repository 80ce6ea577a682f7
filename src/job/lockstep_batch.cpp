#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "job/lockstep_batch_detail.hpp"

namespace gridmill::job_detail {

BatchCut cut_batches(const JobConfig& config, std::uint64_t rows, const GridShape& grid) {
  const auto shards = static_cast<std::uint64_t>(grid.dp) * static_cast<std::uint64_t>(grid.fsdp);
  BatchCut cut{.rows = rows};
  cut.batch = config.lockstep.batch_size == 0
                  ? rows
                  : static_cast<std::uint64_t>(config.lockstep.batch_size);
  if (rows == 0 || rows % cut.batch != 0) {
    throw UsageError(fmt::format("{} holds {} rows, no multiple of --batch-size {}", config.prompts,
                                 rows, cut.batch));
  }
  if (cut.batch % shards != 0) {
    throw UsageError(fmt::format("a lockstep batch of {} rows cannot be split over dp * fsdp = {}",
                                 cut.batch, shards));
  }
  cut.local = cut.batch / shards;
  return cut;
}

JaxRandom jax_random_of(const JobConfig& config, std::uint64_t batch) {
  const JaxKey key = jax_key(config.sampling.seed);
  return {.key = batch == 0 ? key : fold_in(key, static_cast<std::uint32_t>(batch)),
          .layout = config.lockstep.jax_threefry == "classic" ? ThreefryLayout::classic
                                                              : ThreefryLayout::partitionable};
}

PhiloxRandom philox_random_of(const JobConfig& config, std::uint64_t first_row) {
  return {.seed = config.sampling.seed, .first_prompt = static_cast<PromptId>(first_row)};
}

TokenSampler sampler_of(const JobConfig& config) {
  return config.sampling.temperature == 0.0F ? greedy_sampler()
                                             : temperature_sampler(config.sampling.temperature);
}

RowResult result_of(RowId row, const GeneratedBatch& batch, std::int64_t local,
                    std::span<const std::uint8_t> given, const JobPlan& plan) {
  const auto tokens = batch.tokens.view().row(local);
  const auto valid = batch.valid.view().row(local);
  std::size_t length = valid.size();
  while (length > 0 && valid[length - 1] == 0) --length;
  std::size_t prefix = 0;
  while (prefix < given.size() && prefix < length && given[prefix] != 0) ++prefix;
  const bool ended = length > prefix && !plan.limits.eod_token_ids.empty() &&
                     tokens[length - 1] == plan.limits.eod_token_ids.front() &&
                     (length > given.size() || given[length - 1] == 0);
  return {.row = row,
          .status = RowStatus::done,
          .finish_reason = ended ? FinishReason::eod : FinishReason::length,
          .prefix_length = static_cast<std::uint32_t>(prefix),
          .tokens = tokens.first(length),
          .valid = valid};
}

}  // namespace gridmill::job_detail
