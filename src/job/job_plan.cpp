#include "gridmill/job/job_plan.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/results/result_file.hpp"
#include "job/job_fields.hpp"
#include "job/output_detail.hpp"

namespace gridmill {

namespace {

/// Longest row where nothing else limits it, as in xlstm-jax.
constexpr std::int64_t kDefaultMaxLength = 2048;

std::vector<TokenId> resolve_eod(const JobConfig& config, const ModelInfo& model) {
  const std::vector<TokenId>& given = config.limits.eod_token_ids;
  std::vector<TokenId> ids = given.empty() ? model.eod_ids : given;
  std::erase(ids, -1);
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  for (const TokenId id : ids) {
    if (id >= model.vocab_size) {
      throw UsageError(fmt::format("--eod-token-id {} is outside the vocabulary of {} tokens", id,
                                   model.vocab_size));
    }
  }
  return ids;
}

Json to_json(const ScoreOptions& score) {
  Json fields = Json::object();
  if (!score.from.empty()) fields["from"] = score.from;
  if (score.assistant) fields["assistant"] = true;
  if (score.logits) fields["logits"] = true;
  return fields;
}

}  // namespace

std::int32_t resolve_max_length(const JobConfig& config, const ModelInfo& model) {
  const std::int64_t limit = model.model_limit;
  if (config.max_length == 0 && config.score.enabled) {
    return limit == 0 ? std::numeric_limits<std::int32_t>::max() : static_cast<std::int32_t>(limit);
  }
  if (config.max_length == 0) {
    return static_cast<std::int32_t>(limit == 0 ? kDefaultMaxLength
                                                : std::min(kDefaultMaxLength, limit));
  }
  if (limit != 0 && config.max_length > limit && !config.allow_long) {
    throw UsageError(
        fmt::format("--max-length is {}, but the model supports rows of {} tokens; lower it{}",
                    config.max_length, limit, config.score.enabled ? "" : " or give --allow-long"));
  }
  return static_cast<std::int32_t>(config.max_length);
}

ResultShape result_shape(const JobConfig& config, const JobPlan& plan, std::int64_t vocab_size) {
  const ScoreOptions& score = config.score;
  const bool valid_dataset = config.lockstep.enabled || job_detail::counts_some(score);
  return {.rows = plan.rows,
          .samples_per_prompt = config.samples_per_prompt,
          .max_length = static_cast<std::uint32_t>(plan.max_length),
          .logprobs = static_cast<std::uint8_t>(config.logprobs ? 1 : 0),
          .valid = static_cast<std::uint8_t>(valid_dataset ? 1 : 0),
          .version = static_cast<std::uint8_t>(ResultFile::kFormatVersion),
          .top = static_cast<std::uint32_t>(config.top_logprobs),
          .scores = static_cast<std::uint8_t>(score.enabled ? 1 : 0),
          .vocab = static_cast<std::uint32_t>(score.logits ? vocab_size : 0)};
}

ScoreOptions score_options_from_json(const Json& fields) {
  return {.enabled = true,
          .from = fields.value("from", ""),
          .assistant = fields.value("assistant", false),
          .logits = fields.value("logits", false)};
}

JobPlan plan_job(const JobConfig& config, const CheckpointFile& checkpoint, const ModelInfo& model,
                 const PromptFileInfo& prompts, const std::string& numerics_id,
                 const GridShape& grid) {
  JobPlan plan;
  plan.prompts = prompts.count;
  plan.rows = prompts.count * config.samples_per_prompt;
  if (prompts.count > std::numeric_limits<PromptId>::max()) {
    throw UsageError(fmt::format("{} holds {} prompts, at most 2^32 - 1 are possible",
                                 config.prompts, prompts.count));
  }
  plan.range = {.first = 0, .count = plan.rows};
  if (config.part) plan.range = rows_of_part(*config.part, plan.rows, config.samples_per_prompt);
  plan.max_length = resolve_max_length(config, model);
  plan.sampling = config.sampling;
  plan.limits = config.limits;
  plan.limits.eod_token_ids = resolve_eod(config, model);
  check_against_vocabulary(plan.sampling, plan.limits, model.vocab_size, false);
  if (config.top_logprobs > model.vocab_size) {
    throw UsageError(fmt::format("--top-logprobs is {}, the vocabulary has {} tokens",
                                 config.top_logprobs, model.vocab_size));
  }
  plan.identity = {{"model", checkpoint.hash()},
                   {"tokenizer", checkpoint.tokenizer_hash()},
                   {"prompts", prompts.hash},
                   {"prompt_count", prompts.count},
                   {"param_dtype", config.run.param_dtype},
                   {"numerics", numerics_id}};
  JobConfig resolved = config;
  resolved.max_length = plan.max_length;
  job_detail::write_job_fields(resolved, plan.identity);
  // Without records nothing is added, so that such jobs keep the identity they always had.
  if (Json prompting = to_json(config.prompting); !prompting.empty()) {
    plan.identity["prompting"] = std::move(prompting);
  }
  if (config.score.enabled) {
    plan.identity["score"] = to_json(config.score);
  } else {
    write_identity(plan.sampling, plan.identity);
    write_identity(plan.limits, plan.identity);
  }
  if (config.lockstep.enabled) {
    // JAX's random numbers depend on the batch and on the place in the mesh.
    plan.identity["lockstep"] = {{"batch_size", config.lockstep.batch_size},
                                 {"rng", config.lockstep.rng},
                                 {"jax_threefry", config.lockstep.jax_threefry},
                                 {"dp", grid.dp},
                                 {"fsdp", grid.fsdp}};
  }
  return plan;
}

}  // namespace gridmill
