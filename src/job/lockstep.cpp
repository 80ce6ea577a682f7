#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "gridmill/base/format.hpp"
#include "gridmill/grid/collectives.hpp"
#include "gridmill/job/job_plan.hpp"
#include "gridmill/job/progress.hpp"
#include "gridmill/results/result_store.hpp"
#include "job/last_words.hpp"
#include "job/lockstep_batch_detail.hpp"
#include "job/lockstep_detail.hpp"
#include "job/output_detail.hpp"
#include "job/prompt_file_detail.hpp"
#include "job/run_report_detail.hpp"

namespace gridmill::job_detail {

namespace {

void refuse_other_options(const JobConfig& config, const JobPlan& plan) {
  if (config.samples_per_prompt != 1 || config.logprobs || config.limits.max_new_tokens) {
    throw UsageError(
        "--lockstep takes no --samples-per-prompt, --logprobs or --max-new-tokens: it follows "
        "generate_tokens argument for argument");
  }
  // The options that apply: temperature, seed and the end of document.
  SamplingOptions sampling;
  sampling.temperature = config.sampling.temperature;
  sampling.seed = config.sampling.seed;
  RowLimits limits;
  limits.eod_token_ids = config.limits.eod_token_ids;
  if (const OptionField* other = first_difference(config.sampling, sampling)) {
    throw UsageError(
        fmt::format("--lockstep takes no --{}: it follows generate_tokens argument for "
                    "argument",
                    other->option));
  }
  if (const OptionField* other = first_difference(config.limits, limits)) {
    throw UsageError(
        fmt::format("--lockstep takes no --{}: it follows generate_tokens argument for "
                    "argument",
                    other->option));
  }
  if (plan.limits.eod_token_ids.size() > 1) {
    throw UsageError(
        "--lockstep takes one --eod-token-id (or -1); this model has several, name one");
  }
}

/// Fixed batches have no failed rows: what generate_tokens would refuse stops the job before it
/// begins.
void check_prefixes(const PromptSource& prompts, const BatchCut& cut, std::uint64_t shard,
                    std::int64_t max_length, std::int64_t vocab_size) {
  for (std::uint64_t batch = 0; batch < cut.batches(); ++batch) {
    const PrefixMatrix prefix = prompts.prefix_rows(cut.first_row(batch, shard), cut.local);
    if (prefix.columns == 0 || prefix.columns > static_cast<std::uint64_t>(max_length)) {
      throw UsageError(fmt::format("{} has prefixes of {} tokens, expected 1 to max-length {}",
                                   prompts.path(), prefix.columns, max_length));
    }
    for (std::size_t i = 0; i < prefix.tokens.size(); ++i) {
      if (prefix.given[i] == 0 || (prefix.tokens[i] >= 0 && prefix.tokens[i] < vocab_size))
        continue;
      throw FormatError(fmt::format(
          "{}: row {} has token id {}, outside the vocabulary of {} tokens", prompts.path(),
          cut.first_row(batch, shard) + i / prefix.columns, prefix.tokens[i], vocab_size));
    }
  }
}

/// Whether every row of `batch` stands in the file already. The ranges are those still to do,
/// ascending.
bool is_finished(const std::vector<RowRange>& to_do, std::uint64_t first, std::uint64_t count) {
  return std::none_of(to_do.begin(), to_do.end(), [&](const RowRange& range) {
    return range.first < first + count && first < range.first + range.count;
  });
}

}  // namespace

ExitCode run_lockstep(const JobConfig& config, RunContext& context) {
  const Communicator& world = context.grid().world();
  const bool root = world.rank() == 0;
  const std::unique_ptr<PromptSource> prompts =
      open_prompts(world, config.prompts, {config.prompt_field});
  const GridCoord coord = context.grid().coord();
  const auto shard = static_cast<std::uint64_t>(coord.dp) *
                         static_cast<std::uint64_t>(context.grid().shape().fsdp) +
                     static_cast<std::uint64_t>(coord.fsdp);
  BatchCut cut;
  const JobPlan plan = agree_on(world, [&] {
    if (prompts->index().format != PromptFormat::h5) {
      throw UsageError("--lockstep takes prompts from .h5 only (prefix_tokens, prefix_mask)");
    }
    cut = cut_batches(config, prompts->count(), context.grid().shape());
    JobConfig resolved = config;  // the whole file as one batch is the same job as its size named
    resolved.lockstep.batch_size = static_cast<std::int64_t>(cut.batch);
    JobPlan made = plan_job(resolved, context.checkpoint(), context.model().info(),
                            {prompts->index().content_hash, prompts->count()},
                            std::string(context.backend().numerics_id()), context.grid().shape());
    refuse_other_options(config, made);
    check_prefixes(*prompts, cut, shard, made.max_length, context.model().info().vocab_size);
    return made;
  });
  Output output = open_output(config, plan, context);
  broadcast(world, 0, output.to_do);
  context.load();

  RunRecord record(config, context, output);
  ProgressCounts counts;
  std::unique_ptr<ProgressReporter> progress;
  std::optional<ResultStore> store;
  agree_and_record(world, record, [&] {
    if (root) {
      progress = std::make_unique<ProgressReporter>(config.progress, plan.rows, output.found.done,
                                                    output.epoch.number - 1);
    }
    if (context.is_leader()) {
      store.emplace(ResultStore::open(config.output, output.layout,
                                      {.commit_interval = config.commit_interval,
                                       .check_ownership = ownership_check(config, output)}));
    }
  });

  try {
    const JobWatch::Armed armed(context.watch(),
                                last_words(store ? &*store : nullptr, root ? &record : nullptr));
    const GenerationState state = context.generation_state();
    for (std::uint64_t batch = 0; batch < cut.batches(); ++batch) {
      if (is_finished(output.to_do, batch * cut.batch, cut.batch)) continue;
      if (any_rank(world, context.watch().stop_requested())) break;
      const std::uint64_t first = cut.first_row(batch, shard);
      PrefixMatrix prefix = prompts->prefix_rows(first, cut.local);
      const std::array<std::int64_t, 2> extents = {static_cast<std::int64_t>(prefix.rows),
                                                   static_cast<std::int64_t>(prefix.columns)};
      GenerateTokensOptions options = context.generate_tokens_options();
      options.prefix_mask = TensorView<const std::uint8_t, 2>(prefix.given.data(), extents);
      options.max_length = plan.max_length;
      options.eod_token_id =
          plan.limits.eod_token_ids.empty() ? -1 : plan.limits.eod_token_ids.front();
      options.token_sample_fn = sampler_of(config);
      const RandomSource random = config.lockstep.rng == "philox"
                                      ? RandomSource(philox_random_of(config, first))
                                      : RandomSource(jax_random_of(config, batch));
      const GeneratedBatch generated = generate_tokens(
          state, random, TensorView<const TokenId, 2>(prefix.tokens.data(), extents),
          std::move(options));
      for (std::uint64_t local = 0; store && local < cut.local; ++local) {
        store->put(result_of(
            first + local, generated, static_cast<std::int64_t>(local),
            std::span(prefix.given).subspan(local * prefix.columns, prefix.columns), plan));
      }
      counts.rows_done += cut.batch;
      if (root) progress->update(counts);
    }
    if (store) store->close();
  } catch (...) {
    abort_with(error_in_flight(), &record);
  }
  world.barrier();
  ExitCode code = ExitCode::ok;
  agree_on(world, [&] {
    if (!root) return;
    progress->finish(counts);
    code = conclude(config, output, record);
  });
  broadcast(world, 0, code);
  return code;
}

}  // namespace gridmill::job_detail
