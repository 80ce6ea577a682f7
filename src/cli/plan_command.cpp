#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "cli/command.hpp"
#include "cli/generate_options.hpp"
#include "cli/plan_options.hpp"
#include "cli/plan_speed.hpp"
#include "cli/plan_text.hpp"
#include "cli/prompt_options.hpp"
#include "cli/run_options.hpp"
#include "gridmill/base/available_memory.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/printable.hpp"
#include "gridmill/base/process.hpp"
#include "gridmill/checkpoint/compute_type.hpp"
#include "gridmill/convert/convert.hpp"
#include "gridmill/job/sample_rows.hpp"
#include "gridmill/prompts/prompt_index.hpp"

namespace gridmill::cli {

namespace {

PlanMachine machine_of(const PlanOptions& plan) {
  if (!plan.here) {
    return {
        .nodes = std::max(plan.nodes, 1), .cores = plan.cores, .memory_bytes = plan.memory_bytes};
  }
  const std::optional<std::uint64_t> memory = available_memory().shared_bytes;
  if (!memory) {
    throw ResourceError("the memory of this machine is not known; give --cores and --memory");
  }
  return {.nodes = 1, .cores = usable_cores(), .memory_bytes = *memory};
}

/// The model of a plan and where it comes from.
struct Source {
  std::string path;                          ///< of the checkpoint or the config.json
  std::optional<CheckpointFile> checkpoint;  ///< none for a config.json
  Json config;                               ///< gridmill's own (docs/models.md)
  PlannedModel model;
};

/// What convert stores of such a folder: bf16 stays bf16, quantised weights become bf16, and all
/// else fp32.
DType stored_dtype(const Json& config, const PlanOptions& plan) {
  if (!plan.dtype.empty()) return plan.dtype == "bf16" ? DType::bf16 : DType::fp32;
  const auto text_of = [](const Json& fields) -> std::string {
    for (const char* name : {"dtype", "torch_dtype"}) {
      const auto found = fields.find(name);
      if (found != fields.end() && found->is_string()) return found->get<std::string>();
    }
    return "";
  };
  std::string name = text_of(config);
  const auto nested = config.find("text_config");
  if (name.empty() && nested != config.end() && nested->is_object()) name = text_of(*nested);
  const bool quantised = config.contains("quantization_config");
  return name == "bfloat16" || quantised ? DType::bf16 : DType::fp32;
}

Source open_source(const std::string& given, const PlanOptions& plan) {
  Source source{.path = given, .checkpoint = std::nullopt, .config = {}, .model = {}};
  if (std::filesystem::is_directory(given)) {
    source.path = (std::filesystem::path(given) / "config.json").string();
  }
  if (!source.path.ends_with(".json")) {
    if (!plan.dtype.empty() || !plan.weights.empty()) {
      throw UsageError(fmt::format(
          "--dtype and --weights are for a config.json; {} says itself how it stores its weights",
          given));
    }
    CheckpointFile::examine(given);
    source.checkpoint.emplace(CheckpointFile::open(given));
    source.config = source.checkpoint->model();
    source.model = planned_model(*source.checkpoint);
    return source;
  }
  const Json config = parse_json(read_text_file(source.path), source.path);
  const bool own = config.is_object() && config.contains("family");
  const WeightFormat format = plan.weights.empty()     ? WeightFormat{}
                              : plan.weights == "int8" ? default_format(WeightCodes::int8)
                                                       : default_format(WeightCodes::int4);
  source.config = own ? config : model_of_config(config, source.path);
  source.model = planned_model(source.config, stored_dtype(config, plan), format);
  return source;
}

std::unique_ptr<Backend> backend_of_plan(const RunOptions& run, const Source& source, int threads) {
  if (run.backend == "cuda") {
    throw UsageError("plan knows the memory of hosts, not of GPUs; leave --backend cuda out");
  }
  const std::string name(run.backend == "auto" ? backend_of("auto", "avx2") : run.backend);
  const ComputeType compute =
      resolve_compute_type(run.compute_dtype, parameter_dtype_from_name(run.param_dtype),
                           source.model.stored, name, source.path);
  return make_backend(
      name,
      {.compute_dtype = compute.dtype, .int8_products = compute.int8_products, .threads = threads});
}

/// Rows, lengths and result file of the job.
// NOLINTNEXTLINE(bugprone-exception-escape): the analyser cannot see through Json's move
struct Job {
  JobPlan plan;
  std::vector<RowLength> lengths;
  std::vector<std::string> notes;
};

std::uint64_t prompts_in(const JobConfig& config) {
  return PromptIndex::build(config.prompts, config.prompting.messages_field).count;
}

/// Without a tokenizer, or with lengths that are given.
Job described_job(const JobConfig& config, const PlanOptions& plan, const ModelInfo& model) {
  if (plan.prompt_tokens == 0) {
    throw UsageError(config.prompts.empty()
                         ? "--prompts is missing; or give --rows and --prompt-tokens"
                         : "--prompt-tokens is missing: a config.json has no tokenizer");
  }
  Job job;
  job.plan.max_length = resolve_max_length(config, model);
  if (!config.prompts.empty()) {
    job.plan.prompts = prompts_in(config);
    job.plan.rows = job.plan.prompts * config.samples_per_prompt;
  }
  const std::int64_t prompt = plan.prompt_tokens;
  if (prompt >= job.plan.max_length) {
    throw UsageError(
        fmt::format("--prompt-tokens is {}, which leaves no room in rows of --max-length {}",
                    prompt, job.plan.max_length));
  }
  const std::int64_t left = job.plan.max_length - prompt;
  job.lengths.push_back(
      {.prompt = prompt, .generated = std::min(left, config.limits.max_new_tokens.value_or(left))});
  return job;
}

Job sampled_job(const JobConfig& config, const Source& source, const Backend& backend) {
  SampledRows sampled = sample_rows(config, *source.checkpoint, *source.model.model,
                                    std::string(backend.numerics_id()));
  Job job{.plan = std::move(sampled.plan), .lengths = std::move(sampled.lengths), .notes = {}};
  if (sampled.looked_at < job.plan.prompts) {
    job.notes.push_back(fmt::format("lengths are those of {} prompts, evenly spaced among {}",
                                    sampled.looked_at, job.plan.prompts));
  }
  if (sampled.bad_prompts > 0) {
    job.notes.push_back(
        fmt::format("{} of {} prompts make failed rows", sampled.bad_prompts, sampled.looked_at));
  }
  return job;
}

Job job_of(const JobConfig& config, const PlanOptions& plan, const Source& source,
           const Backend& backend) {
  const bool sampled = source.checkpoint && !config.prompts.empty() && plan.prompt_tokens == 0;
  Job job = sampled ? sampled_job(config, source, backend)
                    : described_job(config, plan, source.model.model->info());
  if (plan.rows > 0) job.plan.rows = plan.rows;
  if (job.plan.rows == 0) {
    throw UsageError(config.prompts.empty() ? "--rows is missing; or give --prompts"
                                            : fmt::format("{} holds no prompts", config.prompts));
  }
  if (config.part) {
    const std::uint64_t all = job.plan.rows;
    job.plan.rows = rows_of_part(*config.part, all, config.samples_per_prompt).count;
    if (job.plan.rows == 0) {
      throw UsageError(fmt::format("part {} has no prompt", to_text(*config.part)));
    }
    job.notes.push_back(fmt::format(
        "part {} of the job: {} of {} rows, as if they were the whole; the file's apparent size is "
        "that of all rows, its size on disk is as shown",
        to_text(*config.part), job.plan.rows, all));
  }
  if (plan.new_tokens > 0) {
    for (RowLength& length : job.lengths) {
      length.generated = std::min<std::int64_t>(length.generated, plan.new_tokens);
    }
  } else {
    job.notes.emplace_back(
        "rows are as long as their limits allow; --new-tokens N says how long they get");
  }
  return job;
}

GridConstraint constraint_of(const RunOptions& run, const GivenOptions& given,
                             const PlanOptions& plan, const PlanMachine& machine) {
  GridConstraint constraint{.ranks_per_node = plan.ranks_per_node};
  const bool grid = given.count("dp") + given.count("fsdp") + given.count("tp") > 0;
  if (grid) constraint.grid = run.grid;  // dp 0: whatever remains
  if (grid || given.count("gather-params-once") > 0) {
    constraint.gather_once = run.gather_params_once;
  }
  if (run.grid.dp > 0 && plan.ranks_per_node == 0) {
    const int ranks = run.grid.ranks();
    if (ranks % machine.nodes != 0) {
      throw UsageError(
          fmt::format("--dp {} --fsdp {} --tp {} are {} ranks, which {} nodes do not "
                      "share evenly",
                      run.grid.dp, run.grid.fsdp, run.grid.tp, ranks, machine.nodes));
    }
    constraint.ranks_per_node = ranks / machine.nodes;
  }
  return constraint;
}

}  // namespace

ExitCode run_plan(const Arguments& arguments, const MpiSession* /*session*/) {
  JobConfig config;
  PlanOptions plan;
  CommandSyntax syntax{
      .name = "plan",
      .example =
          "Example: gridmill plan --config jobs/stories.cfg --nodes 4 --cores 64 "
          "--memory 256G --ranks-per-node 8",
      .summary =
          "Memory, slots, passes, bytes and file sizes of a job before it runs, on a given grid or "
          "on the best ones.\nTakes the options of generate; --model may be a config.json or its "
          "folder. Reads no weights.",
      .config_file = true,
      .config_path = &config.config_file};
  syntax.options.add(plan_options(plan))
      .add(run_options(config.run))
      .add(generate_options(config, Files::optional))
      .add(prompt_options(config.prompting, config.prompt_field));
  const std::optional<GivenOptions> given = parse_quietly(syntax, arguments);
  if (!given) {
    print_help(syntax, arguments);
    return ExitCode::ok;
  }
  check_plan_options(plan);
  check_run_options(config.run);
  check_generate_options(config);
  if (config.lockstep.enabled) {
    throw UsageError("plan is for rows in flight slot by slot; leave --lockstep out");
  }
  if (config.top_logprobs > 0) config.logprobs = true;
  if (config.ignore_eos) config.limits.eod_token_ids = {-1};

  const PlanMachine machine = machine_of(plan);
  const Source source = open_source(config.run.model, plan);
  const auto backend = backend_of_plan(config.run, source, usable_cores());
  Job job = job_of(config, plan, source, *backend);
  PlanRequest request{
      .model = source.model,
      .backend = *backend,
      .cast = parameter_dtype_from_name(config.run.param_dtype),
      .fsdp_min_weight_size = config.run.fsdp_min_weight_size,
      .slots = {.slots = config.run.slots,
                .max_length = job.plan.max_length,
                .prefix_memory = config.prefix_memory},
      .result = result_shape(config, job.plan, source.model.model->info().vocab_size),
      .lengths = std::move(job.lengths),
      .speed = std::nullopt};
  if (!plan.limits.empty()) request.speed = speed_from_file(plan.limits, *backend);
  if (plan.calibrate) {
    request.speed = measured_speed(source.config, *backend, request, job.notes);
  }
  PlanReport report{
      .request = request,
      .machine = machine,
      .source = source.path,
      .is_checkpoint = source.checkpoint.has_value(),
      .config = config,
      .notes = std::move(job.notes),
      .grids = plan_grids(request, machine, constraint_of(config.run, *given, plan, machine)),
      .top = plan.top,
      .arguments = generate_arguments(arguments)};
  if (!report.is_checkpoint) {
    report.notes.push_back(
        fmt::format("the job needs a checkpoint: gridmill convert {} MODEL.h5{}{}",
                    std::filesystem::path(source.path).parent_path().string(),
                    plan.dtype.empty() ? "" : " --dtype " + plan.dtype,
                    plan.weights.empty() ? "" : " --weights " + plan.weights));
  }
  const std::string text =
      plan.json
          ? plan_json(report).dump(-1, ' ', false, OrderedJson::error_handler_t::replace) + "\n"
          : printable(plan_text(report), Breaks::kept);
  std::fputs(text.c_str(), stdout);
  const GridPlan& best = report.grids.front();
  if (!best.fits()) {
    throw ResourceError(
        fmt::format("{}: {}", report.grids.size() == 1 ? "the job does not fit" : "no grid fits",
                    best.refusal));
  }
  return ExitCode::ok;
}

}  // namespace gridmill::cli
