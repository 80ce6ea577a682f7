#include "gridmill/job/score_job.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "gridmill/base/log.hpp"
#include "gridmill/base/temporary_file.hpp"
#include "gridmill/generate/score.hpp"
#include "gridmill/grid/collectives.hpp"
#include "gridmill/job/job_plan.hpp"
#include "gridmill/job/request_maker.hpp"
#include "gridmill/job/run_context.hpp"
#include "gridmill/output/output_target.hpp"
#include "gridmill/results/score_file.hpp"
#include "job/prompt_file_detail.hpp"
#include "job/prompting.hpp"
#include "job/run_report_detail.hpp"

namespace gridmill {

namespace {

using namespace job_detail;

/// Rows of this replica: every replica takes each `replicas`-th row, so that equal neighbours share
/// out evenly.
struct OwnRows {
  std::vector<RowId> rows;
  std::vector<std::vector<TokenId>> tokens;
  std::uint64_t unusable = 0;
  std::uint64_t longest = 0;
};

OwnRows read_own_rows(const RequestMaker& requests, std::uint64_t rows, const Grid& grid) {
  const int fsdp = grid.shape().fsdp;
  const int replicas = grid.shape().dp * fsdp;
  const int own = grid.coord().dp * fsdp + grid.coord().fsdp;
  OwnRows result;
  for (auto row = static_cast<RowId>(own); row < rows; row += static_cast<RowId>(replicas)) {
    std::variant<Request, BadPrompt> made = requests.make(row);
    if (const auto* bad = std::get_if<BadPrompt>(&made)) {
      log::each_rank(log::Level::warn, "row {}: {}", row, bad->reason);
      ++result.unusable;
      continue;
    }
    result.rows.push_back(row);
    result.tokens.push_back(std::move(std::get<Request>(made).prompt));
    result.longest = std::max<std::uint64_t>(result.longest, result.tokens.back().size());
  }
  return result;
}

void score_rows(const ScoreConfig& config, RunContext& context, const OwnRows& own,
                const SlotPlan& plan, const ScoreLayout& layout, ScoreWriter* writer) {
  const int slots = plan.whole_slots();
  const std::unique_ptr<BatchState> state = context.model().make_state(
      context.execution(), slots,
      static_cast<std::int64_t>(std::max<std::uint64_t>(layout.columns, 1)));
  NoExchange alone;
  Exchange& lockstep =
      context.lock_step() ? context.fsdp_exchange() : static_cast<Exchange&>(alone);
  std::size_t next = 0;
  while (lockstep.any(next < own.rows.size())) {
    const std::size_t count = std::min(own.rows.size() - next, static_cast<std::size_t>(slots));
    const std::vector<ScoredRow> scored =
        score(context.model(), context.execution(), context.parameters(), *state, lockstep,
              std::span(own.tokens).subspan(next, count),
              {.logits = config.logits, .pass_rows = plan.pass_rows});
    for (std::size_t i = 0; i < count && writer != nullptr; ++i) {
      writer->put(own.rows[next + i], scored[i].logprobs, scored[i].sum_logprob,
                  scored[i].logits.flat());
    }
    next += count;
  }
}

}  // namespace

ExitCode run_score_job(const ScoreConfig& config) {
  RunContext context(config.run);
  const Communicator& world = context.grid().world();
  std::string target;  // rank 0
  agree_on(world, [&] {
    if (world.rank() != 0) return;
    target = OutputTarget::decide(config.output, {.name = "--output",
                                                  .format = "gridmill-scores",
                                                  .inputs = {{"--model", config.run.model},
                                                             {"--prompts", config.prompts}},
                                                  .side_files = {}})
                 .path();
  });
  const std::unique_ptr<PromptSource> prompts =
      open_prompts(world, config.prompts,
                   {config.prompt_field, config.prompting.messages_field, config.run.model});
  const ModelInfo& model = context.model().info();
  JobConfig rows_config;
  rows_config.run = config.run;
  rows_config.prompts = config.prompts;
  rows_config.prompt_field = config.prompt_field;
  rows_config.prompting =
      resolve_prompting(config.prompting, context, config.prompt_field, *prompts);
  rows_config.add_special_tokens = config.add_special_tokens;
  JobPlan plan;
  plan.max_length = model.model_limit > 0 ? static_cast<std::int32_t>(model.model_limit)
                                          : std::numeric_limits<std::int32_t>::max();
  std::optional<RequestMaker> requests;
  const OwnRows own = agree_on(world, [&] {
    requests.emplace(rows_config, plan, model, *prompts, context.tokenizer());
    if (world.rank() == 0) check_first_prompts(*prompts, *requests);
    return read_own_rows(*requests, prompts->count(), context.grid());
  });
  requests->warn_of_others(any_rank(world, requests->begins_twice()));
  ScoreLayout layout{.rows = prompts->count()};
  for (const std::uint64_t longest : all_gather(world, own.longest)) {
    layout.columns = std::max(layout.columns, longest);
  }
  if (config.logits) layout.vocab = static_cast<std::uint64_t>(model.vocab_size);
  std::optional<TemporaryFile> file;  // rank 0
  std::string temporary;
  agree_on(world, [&] {
    if (world.rank() != 0) return;
    file.emplace(target);
    temporary = file->path();
    layout = create_score_file(temporary, layout);
  });
  broadcast(world, 0, layout);
  broadcast(world, 0, temporary);
  context.load();
  const SlotPlan slots =
      context.resolve_slots(static_cast<std::int64_t>(std::max<std::uint64_t>(layout.columns, 1)));
  try {
    std::optional<ScoreWriter> writer;
    if (context.is_leader()) writer.emplace(temporary, layout);
    score_rows(config, context, own, slots, layout, writer ? &*writer : nullptr);
    if (writer) writer->sync();
  } catch (...) {
    const Error error = error_in_flight();
    ::unlink(temporary.c_str());  // the whole job ends, rank 0 without its destructors
    abort_with(error);
  }
  world.barrier();
  agree_on(world, [&] {
    if (file) file->publish();
  });
  const std::uint64_t unusable = sum_over_ranks(world, context.is_leader() ? own.unusable : 0);
  if (unusable == 0) return ExitCode::ok;
  log::warn("{} prompts could not be scored and have length 0", unusable);
  return ExitCode::failed_rows;
}

}  // namespace gridmill
