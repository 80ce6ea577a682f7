#include "gridmill/job/verify_job.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iterator>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <utility>

#include "gridmill/base/format.hpp"
#include "gridmill/grid/collectives.hpp"
#include "gridmill/job/job_plan.hpp"
#include "gridmill/job/run_context.hpp"
#include "gridmill/results/recovery.hpp"
#include "gridmill/results/result_file.hpp"
#include "gridmill/results/row_difference.hpp"
#include "job/job_fields.hpp"
#include "job/prompt_file_detail.hpp"
#include "job/regenerate_detail.hpp"
#include "job/run_report_detail.hpp"
#include "job/same_file.hpp"

namespace gridmill {

namespace {

using namespace job_detail;

/// Rank 0 opens the file, everybody gets this.
// NOLINTNEXTLINE(bugprone-exception-escape): the analyser cannot see through Json's move
struct VerifiedFile {
  ResultLayout layout;
  JobIdentity job;
};

VerifiedFile open_file(const Communicator& world, const std::string& path) {
  VerifiedFile file;
  std::string text;
  agree_on(world, [&] {
    if (world.rank() != 0) return;
    const ResultFile opened = ResultFile::open(path, ResultFile::Origin::anywhere);
    file.layout = opened.layout();
    text = opened.job().text();
  });
  broadcast(world, 0, file.layout);
  broadcast(world, 0, text);
  file.job = JobIdentity::from_text(text, path);
  return file;
}

/// Options of the run that made the file, out of what it says of itself.
JobConfig config_of(const VerifyConfig& config, const VerifiedFile& file) {
  const Json& job = file.job.fields;
  JobConfig made;
  made.run = config.run;
  if (config.run.param_dtype == "checkpoint")
    made.run.param_dtype = job.at("param_dtype").get<std::string>();
  if (config.run.compute_dtype == "auto") {
    // The numerics id ends in the compute dtype (docs/numerics.md).
    const std::string numerics = job.at("numerics").get<std::string>();
    made.run.compute_dtype = numerics.ends_with("bf16")   ? "bf16"
                             : numerics.ends_with("int8") ? "int8"
                                                          : "fp32";
  }
  made.prompts = config.prompts;
  read_job_fields(job, made);
  if (const auto prompting = job.find("prompting"); prompting != job.end()) {
    made.prompting = prompt_options_from_json(*prompting);
  }
  made.output = config.file;
  made.allow_long = true;
  if (const auto score = job.find("score"); score != job.end()) {
    made.score = score_options_from_json(*score);
  } else {
    made.sampling = read_sampling_identity(job);
    made.limits = read_limits_identity(job);
    if (made.limits.eod_token_ids.empty()) made.limits.eod_token_ids = {-1};
  }
  if (const auto lockstep = job.find("lockstep"); lockstep != job.end()) {
    made.lockstep = {.enabled = true,
                     .batch_size = lockstep->at("batch_size").get<std::int64_t>(),
                     .rng = lockstep->at("rng").get<std::string>(),
                     .jax_threefry = lockstep->at("jax_threefry").get<std::string>()};
  }
  return made;
}

JobConfig read_config(const VerifyConfig& config, const VerifiedFile& file) {
  try {
    return config_of(config, file);
  } catch (const Json::exception& problem) {
    throw FormatError(fmt::format("{}: attribute job is not that of a generate run: {}",
                                  config.file, problem.what()));
  } catch (const UsageError& problem) {
    throw FormatError(fmt::format("{}: attribute job is not that of a generate run: {}",
                                  config.file, problem.what()));
  }
}

/// Grid that the random numbers of a lockstep file belong to.
GridShape former_grid(const VerifiedFile& file) {
  const auto lockstep = file.job.fields.find("lockstep");
  if (lockstep == file.job.fields.end()) return {};
  return {.dp = lockstep->at("dp").get<int>(), .fsdp = lockstep->at("fsdp").get<int>()};
}

/// The plan of the run that made the file. @throws FormatError if what is given here makes another.
JobPlan plan_of(const JobConfig& made, const VerifiedFile& file, RunContext& context,
                const PromptSource& prompts) {
  const Json& job = file.job.fields;
  const auto require = [&](const char* field, const std::string& here, const std::string& path,
                           const char* what) {
    if (job.value(field, "") == here) return;
    throw FormatError(fmt::format("{} is not the {} that made {}: its hash is {}, expected {}",
                                  path, what, made.output, here, job.value(field, "")));
  };
  require("model", context.checkpoint().hash(), made.run.model, "model");
  require("prompts", prompts.index().content_hash, made.prompts, "prompt file");
  JobPlan plan = plan_job(made, context.checkpoint(), context.model().info(),
                          {prompts.index().content_hash, prompts.count()},
                          std::string(context.backend().numerics_id()), former_grid(file));
  const JobIdentity here{plan.identity};
  if (!(here == file.job)) {
    throw FormatError(
        fmt::format("{} cannot be verified: {}", made.output, describe_difference(file.job, here)));
  }
  return plan;
}

/// Rows to generate again, ascending. A sample is drawn anew each time.
std::vector<RowId> select_rows(const VerifyConfig& config, std::uint64_t rows) {
  std::vector<RowId> selected;
  if (!config.rows.empty()) {
    selected = config.rows;
    std::sort(selected.begin(), selected.end());
    selected.erase(std::unique(selected.begin(), selected.end()), selected.end());
    if (selected.back() >= rows) {
      throw UsageError(
          fmt::format("--rows names row {}, {} has {}", selected.back(), config.file, rows));
    }
  } else if (config.sample_percent) {
    const double share = static_cast<double>(rows) * *config.sample_percent / 100.0;
    auto wanted = static_cast<std::uint64_t>(std::ceil(share));
    std::mt19937_64 engine{std::random_device{}()};
    for (RowId row = 0; row < rows && wanted > 0; ++row) {
      // All choices of the remaining sample among the rows from here on are equally likely.
      std::uniform_int_distribution<std::uint64_t> draw(0, rows - row - 1);
      if (draw(engine) >= wanted) continue;
      selected.push_back(row);
      --wanted;
    }
  } else {
    selected.resize(static_cast<std::size_t>(rows));
    std::iota(selected.begin(), selected.end(), RowId{0});
  }
  return selected;
}

/// States of all rows, scanned together. Collective.
std::vector<RowState> scan_file(const Communicator& world, const RowFile& file,
                                const ResultLayout& layout, int threads) {
  const auto ranks = static_cast<std::uint64_t>(world.size());
  const std::uint64_t rows = layout.shape.rows;
  const auto first_of = [&](std::uint64_t rank) { return rows * rank / ranks; };
  const auto own = static_cast<std::uint64_t>(world.rank());
  std::vector<RowState> mine;
  agree_on(world, [&] {
    mine = scan_rows(file, layout, first_of(own), first_of(own + 1) - first_of(own),
                     {.threads = threads, .payload = true});
  });
  std::vector<std::int64_t> counts;
  for (std::uint64_t rank = 0; rank < ranks; ++rank) {
    counts.push_back(static_cast<std::int64_t>(first_of(rank + 1) - first_of(rank)));
  }
  std::vector<RowState> states(static_cast<std::size_t>(rows));
  all_gather_elements(world, std::as_bytes(std::span(mine)), counts, sizeof(RowState),
                      std::as_writable_bytes(std::span(states)));
  return states;
}

/// Faults of rows, by number.
class Findings {
 public:
  void add(RowId row, const std::string& what) { found_.emplace(row, what); }
  /// Collective: those of all ranks, on every rank.
  [[nodiscard]] std::map<RowId, std::string> gather(const Communicator& world) const {
    Json mine = Json::array();
    for (const auto& [row, what] : found_) mine.push_back({row, what});
    const std::string text = mine.dump(-1, ' ', false, Json::error_handler_t::replace);
    std::map<RowId, std::string> all;
    for (const std::string& part : all_gather_text(world, text)) {
      for (const Json& finding : Json::parse(part)) {
        all.emplace(finding.at(0).get<RowId>(), finding.at(1).get<std::string>());
      }
    }
    return all;
  }

 private:
  std::map<RowId, std::string> found_;
};

/// `complete` as a partial row of `stored` length would hold it.
RowResult cut_to_partial(const RowResult& complete, const RowRecord& stored) {
  RowResult partial = complete;
  const std::size_t length = std::min<std::size_t>(stored.length, complete.tokens.size());
  partial.status = RowStatus::partial;
  partial.finish_reason = FinishReason::none;
  partial.tokens = complete.tokens.first(length);
  if (!complete.logprobs.empty()) partial.logprobs = complete.logprobs.first(length);
  if (!complete.top.empty()) {
    partial.top = complete.top.first(length * (complete.top.size() / complete.tokens.size()));
  }
  partial.stop_index = 0;
  return partial;
}

void print_report(const VerifyConfig& config, const std::map<RowId, std::string>& findings,
                  std::size_t regenerated, std::uint64_t missing) {
  std::string text;
  for (const auto& [row, what] : findings) text += fmt::format("row {}: {}\n", row, what);
  text += fmt::format("{}: {} rows generated again, {} differ or are damaged", config.file,
                      regenerated, findings.size());
  if (missing > 0) text += fmt::format("; {} rows are not generated yet", missing);
  std::fputs((text + "\n").c_str(), stdout);
}

}  // namespace

ExitCode run_verify_job(const VerifyConfig& config) {
  VerifiedFile file;
  JobConfig made;
  {
    const auto world = Communicator::duplicate(MPI_COMM_WORLD);
    file = open_file(world, config.file);
    made = agree_on(world, [&] { return read_config(config, file); });
  }
  RunContext context(made.run);
  const Communicator& world = context.grid().world();
  const std::unique_ptr<PromptSource> prompts =
      open_prompts(world, config.prompts, {made.prompt_field, {}, made.run.model});
  const JobPlan plan = agree_on(world, [&] { return plan_of(made, file, context, *prompts); });
  require_same_content(world, "result file", config.file);
  const auto rows = agree_on(world, [&] { return open_row_file(config.file, false); });
  const std::vector<RowState> states = scan_file(world, *rows, file.layout, context.threads());
  std::vector<RowId> selected = agree_on(world, [&] {
    if (world.rank() != 0) return std::vector<RowId>();  // rank 0's counts
    return select_rows(config, file.layout.shape.rows);
  });
  broadcast(world, 0, selected);

  Findings findings;
  if (world.rank() == 0) {
    for (const RowId row : rows_in_state(states, RowState::damaged)) {
      findings.add(row, "damaged: its checksums or the zeros behind its end do not agree");
    }
    for (const RowId row : config.rows) {
      if (states[row] == RowState::missing) findings.add(row, "not generated yet");
    }
  }
  std::erase_if(selected, [&](RowId row) {
    return states[row] == RowState::damaged || states[row] == RowState::missing;
  });
  context.load();
  const auto compare = [&](const RowResult& expected) {
    const bool partial = states[expected.row] == RowState::partial;
    const RowResult wanted =
        partial
            ? cut_to_partial(expected, read_records(*rows, file.layout, expected.row, 1).front())
            : expected;
    const std::string difference = row_difference(*rows, file.layout, wanted);
    if (!difference.empty()) findings.add(expected.row, difference);
  };
  try {
    const RegenerationJob job{context, made, plan, *prompts};
    if (made.lockstep.enabled) {
      regenerate_lockstep_rows(job, former_grid(file), selected, compare);
    } else {
      regenerate_rows(job, selected, compare);
    }
  } catch (...) {
    abort_with(error_in_flight());
  }
  const std::map<RowId, std::string> all = findings.gather(world);
  const auto missing =
      static_cast<std::uint64_t>(std::count(states.begin(), states.end(), RowState::missing));
  if (world.rank() == 0) print_report(config, all, selected.size(), missing);
  return all.empty() ? ExitCode::ok : ExitCode::failed_rows;
}

}  // namespace gridmill
