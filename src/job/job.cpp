#include "gridmill/job/job.hpp"

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "gridmill/base/log.hpp"
#include "gridmill/grid/collectives.hpp"
#include "gridmill/job/job_plan.hpp"
#include "gridmill/job/run_context.hpp"
#include "job/generation_config.hpp"
#include "job/job_files.hpp"
#include "job/last_words.hpp"
#include "job/lockstep_detail.hpp"
#include "job/metrics_detail.hpp"
#include "job/output_detail.hpp"
#include "job/predicted_memory.hpp"
#include "job/prompt_file_detail.hpp"
#include "job/prompting.hpp"
#include "job/replica_detail.hpp"
#include "job/run_report_detail.hpp"

namespace gridmill {

namespace {

using namespace job_detail;

/// Rank 0's side of the loop.
struct Server {
  std::unique_ptr<LeaseServer> leases;
  std::unique_ptr<ProgressReporter> progress;
  std::unique_ptr<MetricsWriter> metrics;
};

std::vector<int> leader_ranks(const GridShape& shape) {
  std::vector<int> leaders;
  for (int rank = 0; rank < shape.ranks(); rank += shape.tp) leaders.push_back(rank);
  return leaders;
}

/// Tokens of the longest row that can be scored: each prompt is read once, by one rank. Collective.
std::int64_t longest_row(const Communicator& world, const RequestMaker& requests,
                         std::uint64_t rows) {
  std::uint64_t longest = 1;
  agree_on(world, [&] {
    const auto ranks = static_cast<RowId>(world.size());
    for (auto row = static_cast<RowId>(world.rank()); row < rows; row += ranks) {
      const std::variant<Request, BadPrompt> made = requests.make(row);
      if (const auto* request = std::get_if<Request>(&made)) {
        longest = std::max<std::uint64_t>(longest, request->prompt.size());
      }
    }
  });
  for (const std::uint64_t other : all_gather(world, longest)) longest = std::max(longest, other);
  return static_cast<std::int64_t>(longest);
}

/// Which prompts a run does that does not do all.
void tell_range(const JobPart& part, const Output& output, std::uint64_t samples) {
  const std::uint64_t first = output.range.first / samples;
  const std::uint64_t count = output.range.count / samples;
  if (count == 0) {
    log::info("part {} of {} has no prompt: there are more parts than prompts", part.number,
              part.of);
    return;
  }
  log::info("part {} of {}: prompts {} to {}, {} of the job's {} rows", part.number, part.of, first,
            first + count - 1, output.range.count, output.layout.shape.rows);
}

}  // namespace

ExitCode run_job(const JobConfig& given) {
  JobConfig config = given;
  const SteadyClock::time_point start = SteadyClock::now();
  StageTimes stages;
  RunContext context(config.run, config.time_limit);
  const Communicator& world = context.grid().world();
  const bool root = world.rank() == 0;
  agree_on(world, [&] {
    if (root) check_job_files(config);
  });
  if (!config.score.enabled) {
    agree_on(world, [&] { apply_generation_config(config, context.checkpoint().files()); });
  }
  if (config.lockstep.enabled) return run_lockstep(config, context);

  const std::unique_ptr<PromptSource> prompts =
      open_prompts(world, config.prompts,
                   {config.prompt_field, given.prompting.messages_field, config.run.model});
  config.prompting = resolve_prompting(given.prompting, context, config.prompt_field, *prompts);
  const auto make_plan = [&] {
    return plan_job(config, context.checkpoint(), context.model().info(),
                    {prompts->index().content_hash, prompts->count()},
                    std::string(context.backend().numerics_id()), context.grid().shape());
  };
  JobPlan plan = agree_on(world, make_plan);
  const ModelInfo& model = context.model().info();
  const auto requests = agree_on(world, [&] {
    return std::make_unique<RequestMaker>(config, plan, model, *prompts, context.tokenizer());
  });
  if (config.show > 0) {
    agree_on(world, [&] {
      if (root) show_prompts(*requests, config, plan.range, context.tokenizer());
    });
    return ExitCode::ok;
  }
  agree_on(world, [&] {
    if (root) check_first_prompts(*prompts, *requests);
  });
  if (config.score.enabled && config.max_length == 0) {
    config.max_length = longest_row(world, *requests, plan.rows);
    plan = agree_on(world, make_plan);
  }
  Output output = open_output(config, plan, context);
  if (config.part) tell_range(*config.part, output, config.samples_per_prompt);
  stages.open_s = seconds_since(start);
  if (any_rank(world, context.watch().stop_requested())) {
    log::warn("stopped before the parameters were read; run the same command again");
    return ExitCode::stopped_early;
  }

  const SteadyClock::time_point load_start = SteadyClock::now();
  context.load();
  stages.load_s = seconds_since(load_start);
  const SlotPlan slots = context.resolve_slots(plan.max_length, config.prefix_memory);
  if (root && config.prefix_memory.value_or(0) > 0 && slots.prefixes == 0) {
    log::warn("--prefix-memory has no room for one common start: only rows in flight share");
  }

  Mailbox mailbox(world);
  MailboxPort port(mailbox);
  Server server;
  RunRecord record(config, context, output);
  agree_and_record(world, record, [&] {
    if (!root) return;
    server.metrics =
        std::make_unique<MetricsWriter>(config.metrics, config.output, plan.range.count);
    server.progress = std::make_unique<ProgressReporter>(config.progress, plan.range.count,
                                                         output.found.done + output.found.failed,
                                                         output.epoch.number - 1);
    const std::vector<int> leaders = leader_ranks(context.grid().shape());
    server.leases = std::make_unique<LeaseServer>(
        LeaseQueue(std::move(output.to_do), static_cast<int>(leaders.size()),
                   static_cast<std::uint64_t>(std::max(slots.slots, 1)),
                   config.prefix_memory == 0 ? 1 : config.samples_per_prompt),
        leaders, port);
  });
  std::optional<ResultStore> store;
  const auto replica = agree_and_record(world, record, [&] {
    if (context.is_leader()) {
      store.emplace(ResultStore::open(config.output, output.layout,
                                      {.commit_interval = config.commit_interval,
                                       .check_ownership = ownership_check(config, output)}));
    }
    return std::make_unique<Replica>(Replica::Parts{.context = context,
                                                    .config = config,
                                                    .plan = plan,
                                                    .output = output,
                                                    .requests = *requests,
                                                    .port = port,
                                                    .server = server.leases.get(),
                                                    .store = store ? &*store : nullptr,
                                                    .slots = slots});
  });

  const SteadyClock::time_point loop_start = SteadyClock::now();
  StoreCounters store_counters;
  try {
    const JobWatch::Armed armed(context.watch(),
                                last_words(store ? &*store : nullptr, root ? &record : nullptr));
    const auto every_pass = [&] {
      if (!root) return;
      server.progress->update(server.leases->counts());
      server.metrics->update(server.leases->counts());
    };
    replica->run(every_pass);
    const SteadyClock::time_point own_end = SteadyClock::now();
    while (root && !server.leases->all_finished()) {
      while (const auto message = port.poll()) server.leases->handle(*message);
      every_pass();
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    stages.generate_s = seconds_since(loop_start);
    const SteadyClock::time_point finish_start = SteadyClock::now();
    if (store) {
      store->close();
      store_counters = store->counters();
    }
    stages.finish_s = seconds_since(finish_start);
    world.barrier();
    stages.tail_idle_s = seconds_since(own_end) - stages.finish_s;
  } catch (...) {
    abort_with(error_in_flight(), &record);
  }

  requests->warn_of_others(any_rank(world, requests->begins_twice()));
  const OrderedJson summary =
      summarize(context, *replica, stages, store_counters,
                predicted_resident_bytes(context, slots, replica->statistics()));
  ExitCode code = ExitCode::ok;
  agree_on(world, [&] {
    if (!root) return;
    server.progress->finish(server.leases->counts());
    server.metrics->finish(summary, server.leases->counts());
    log::info("prompt tokens: {} computed, {} shared",
              summary["prompt_tokens"].get<std::uint64_t>(),
              summary["shared_prompt_tokens"].get<std::uint64_t>());
    log::info(
        "ranks were idle {:.1f} % of the time on average (the most: {:.1f} %), {:.1f} s at the end",
        100 * summary["idle_share"]["mean"].get<double>(),
        100 * summary["idle_share"]["max"].get<double>(),
        summary["tail_idle_s"]["mean"].get<double>());
    if (summary.contains("predicted_resident_bytes")) {
      const auto mib = [&summary](const char* name) {
        return summary[name]["max"].get<double>() / (1 << 20);
      };
      log::info("memory of a rank at its peak: {:.0f} MiB; plan gives {:.0f} MiB for these rows",
                mib("peak_resident_bytes"), mib("predicted_resident_bytes"));
    }
    code = conclude(config, output, record);
  });
  broadcast(world, 0, code);
  return code;
}

}  // namespace gridmill
