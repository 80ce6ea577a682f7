#include "cli/generate_options.hpp"

#include <cstdint>
#include <limits>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "gridmill/base/clock.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/results/layout.hpp"

namespace gridmill::cli {

namespace {

/// An integer option that boost would wrap around when it is negative.
template <typename Integer>
Integer integer_in_range(const std::string& option, std::int64_t value, std::int64_t low) {
  const auto high = static_cast<std::int64_t>(std::numeric_limits<Integer>::max());
  if (value < low || value > high) {
    throw UsageError(fmt::format("{} is {}, expected {} to {}", option, value, low, high));
  }
  return static_cast<Integer>(value);
}

/// An option for every field of a table.
template <typename Options>
void add_fields(po::options_description& options, std::span<const OptionField> fields,
                Options& target, std::set<std::string>& given) {
  auto add = options.add_options();
  for (const OptionField& field : fields) {
    if (field.repeatable) {
      add(field.option,
          po::value<std::vector<std::string>>()
              ->value_name(field.value_name)
              ->notifier([&target, &field, &given](const std::vector<std::string>& texts) {
                set_from_text(target, field, texts);
                given.insert(field.name);
              }),
          field.help);
    } else {
      add(field.option,
          po::value<std::string>()
              ->value_name(field.value_name)
              ->notifier([&target, &field, &given](const std::string& text) {
                set_from_text(target, field, {text});
                given.insert(field.name);
              }),
          field.help);
    }
  }
}

void add_input_options(po::options_description& options, JobConfig& config, Files files) {
  const auto file = [files](std::string* target, const char* value_name) {
    auto* value = po::value(target)->value_name(value_name);
    return files == Files::required ? value->required() : value;
  };
  auto add = options.add_options();
  add("prompts", file(&config.prompts, "FILE"),
      ".jsonl (an object a line), .txt (a prompt a line) or .h5 (prefix_tokens)");
  add("output", file(&config.output, "FILE.h5"), "shared result file");
  add("add-special-tokens", switch_value(&config.add_special_tokens),
      "as the tokenizer's post-processor says");
}

void add_max_length(po::options_description& options, JobConfig& config, const char* help) {
  options.add_options()(
      "max-length",
      po::value<std::int64_t>()->value_name("N")->notifier([&config](std::int64_t value) {
        config.max_length = integer_in_range<std::int32_t>("--max-length", value, 1);
      }),
      help);
}

void add_top_logprobs(po::options_description& options, JobConfig& config, const char* help) {
  options.add_options()("top-logprobs",
                        po::value<std::int64_t>()->default_value(0)->value_name("K")->notifier(
                            [&config](std::int64_t value) {
                              config.top_logprobs =
                                  integer_in_range<std::int32_t>("--top-logprobs", value, 0);
                            }),
                        help);
}

void add_row_options(po::options_description& options, JobConfig& config) {
  add_max_length(options, config,
                 "length of a row, prefix included; default min(2048, the model's limit)");
  add_top_logprobs(options, config,
                   "add the K likeliest tokens of each position; implies --logprobs");
  auto add = options.add_options();
  add("show",
      po::value<std::string>()->value_name("N")->notifier(
          [&config](const std::string& text) { config.show = positive_integer("--show", text); }),
      "print the first N prompts as they will be fed, and do nothing else");
  add("prefix-memory",
      po::value<std::string>()->default_value("auto")->value_name("BYTES")->notifier(
          [&config](const std::string& text) {
            config.prefix_memory.reset();
            if (text != "auto") config.prefix_memory = byte_count("--prefix-memory", text);
          }),
      "memory a rank for common starts of prompts; 0 = every row computes its own");
  add("allow-long", switch_value(&config.allow_long), "let max-length exceed the model's limit");
  add("samples-per-prompt",
      po::value<std::int64_t>()->default_value(1)->value_name("N")->notifier(
          [&config](std::int64_t value) {
            config.samples_per_prompt = static_cast<std::uint32_t>(
                integer_in_range<std::int32_t>("--samples-per-prompt", value, 1));
          }),
      "rows = prompts x samples");
  add("logprobs", switch_value(&config.logprobs), "add token_logprobs");
  add("logprobs-for",
      po::value(&config.logprobs_for)->default_value(config.logprobs_for)->value_name("WHICH"),
      "all, generated: those of the prompt are 0, and cost nothing");
  add("sampling-field",
      po::value(&config.sampling_field)->default_value(config.sampling_field)->value_name("NAME"),
      "object of a .jsonl record that overrides sampling options");
  add("generation-config",
      po::value(&config.generation_config)
          ->default_value(config.generation_config)
          ->value_name("WHICH"),
      "eod, all, none: what is taken from the model's generation_config.json");
  add("ignore-eos", switch_value(&config.ignore_eos), "the same as --eod-token-id -1");
  add_fields(options, limit_fields(), config.limits, config.given);
}

void add_sampling_options(po::options_description& options, JobConfig& config) {
  add_fields(options, sampling_fields(), config.sampling, config.given);
}

void add_lifecycle_options(po::options_description& options, JobConfig& config) {
  auto add = options.add_options();
  add("resume", po::value(&config.resume)->default_value(config.resume)->value_name("HOW"),
      "auto, never, require");
  add("part",
      po::value<std::string>()->value_name("K/N")->notifier(
          [&config](const std::string& text) { config.part = job_part_from_text(text); }),
      "do the K-th of N ranges of the prompts only; gridmill merge joins the files");
  add("allow-failed-rows", switch_value(&config.allow_failed_rows),
      "failed rows do not make the exit code 1");
  add("retry-failed", switch_value(&config.retry_failed),
      "generate the failed rows of an earlier run again");
  add("commit-interval",
      po::value<std::string>()->default_value("1s")->value_name("TIME")->notifier(
          [&config](const std::string& text) {
            config.commit_interval = parse_duration(text, "--commit-interval");
          }),
      "a finished row is durable within this time");
  add("time-limit",
      po::value<std::string>()->value_name("TIME")->notifier([&config](const std::string& text) {
        config.time_limit = parse_duration(text, "--time-limit");
      }),
      "stop cleanly (exit 75) when this much time has passed");
  add("progress", po::value(&config.progress)->default_value(config.progress)->value_name("HOW"),
      "auto, bar, plain, json, none");
  add("metrics", po::value(&config.metrics)->value_name("FILE.jsonl"),
      "a record every 10 s and a final summary");
}

void add_lockstep_options(po::options_description& options, JobConfig& config) {
  auto add = options.add_options();
  LockstepOptions& lockstep = config.lockstep;
  add("lockstep", switch_value(&lockstep.enabled),
      "whole fixed batches through generate_tokens (prompts from .h5)");
  add("batch-size",
      po::value<std::int64_t>()->value_name("N")->notifier([&lockstep](std::int64_t value) {
        lockstep.batch_size = integer_in_range<std::int32_t>("--batch-size", value, 1);
      }),
      "rows of a lockstep batch; default: the whole prompt file");
  add("rng", po::value(&lockstep.rng)->default_value(lockstep.rng)->value_name("NAME"),
      "jax, philox: random numbers of --lockstep");
  add("jax-threefry",
      po::value(&lockstep.jax_threefry)->default_value(lockstep.jax_threefry)->value_name("LAYOUT"),
      "classic, partitionable");
}

/// Options of which one makes the other meaningless.
void refuse_contradictions(const JobConfig& config) {
  const SamplingOptions& sampling = config.sampling;
  if (config.limits.max_new_tokens &&
      config.limits.min_new_tokens > *config.limits.max_new_tokens) {
    throw UsageError(fmt::format("--min-new-tokens is {}, more than --max-new-tokens {}",
                                 config.limits.min_new_tokens, *config.limits.max_new_tokens));
  }
  const std::set<TokenId> allowed(sampling.allowed_token_ids.begin(),
                                  sampling.allowed_token_ids.end());
  for (const TokenId id : sampling.banned_token_ids) {
    if (allowed.count(id) == 0) continue;
    throw UsageError(
        fmt::format("--allowed-token-ids and --banned-token-ids both name token {}", id));
  }
}

}  // namespace

po::options_description generate_options(JobConfig& config, Files files) {
  po::options_description options("What is generated");
  add_input_options(options, config, files);
  add_row_options(options, config);
  add_sampling_options(options, config);
  add_lifecycle_options(options, config);
  add_lockstep_options(options, config);
  return options;
}

po::options_description score_options(JobConfig& config) {
  po::options_description options("What is scored");
  add_input_options(options, config, Files::required);
  add_max_length(options, config,
                 "longest row; default: that of the prompts, which are read once to find it");
  add_top_logprobs(options, config, "add the K likeliest tokens of each position");
  auto add = options.add_options();
  add("score-from", po::value(&config.score.from)->value_name("N|FIELD"),
      "what counts: tokens from number N on, or the text of FIELD, which is put behind the prompt");
  add("score-assistant", switch_value(&config.score.assistant),
      "what counts: the assistant's turns of messages");
  add("logprobs-for",
      po::value(&config.logprobs_for)->default_value(config.logprobs_for)->value_name("WHICH"),
      "all, counted: those of other tokens are 0, and those in front cost nothing");
  add("logits", switch_value(&config.score.logits), "add logits [N,T,V]");
  add_lifecycle_options(options, config);
  return options;
}

namespace {
/// Options that generate and score have in common.
void check_common_options(const JobConfig& config) {
  require_one_of("--resume", config.resume, {"auto", "never", "require"});
  require_one_of("--progress", config.progress, {"auto", "bar", "plain", "json", "none"});
  check_prompt_options(config.prompting);
  if (config.top_logprobs > static_cast<std::int32_t>(kMostTopLogprobs)) {
    throw UsageError(fmt::format("--top-logprobs is {}, expected 0 to {}", config.top_logprobs,
                                 kMostTopLogprobs));
  }
  if (config.commit_interval.count() < 2) {
    throw UsageError("--commit-interval must be at least 2ms: a row takes two commits");
  }
}
}  // namespace

void check_score_options(const JobConfig& config) {
  check_common_options(config);
  const ScoreOptions& score = config.score;
  require_one_of("--logprobs-for", config.logprobs_for, {"all", "counted"});
  if (score.assistant && !score.from.empty()) {
    throw UsageError("--score-from and --score-assistant exclude each other");
  }
  if (config.logprobs_for == "counted" && score.from.empty() && !score.assistant) {
    throw UsageError(
        "--logprobs-for=counted needs --score-from or --score-assistant: else all tokens count");
  }
  if (score.assistant && !config.prompting.record_template.empty()) {
    throw UsageError(
        "--score-assistant and --template exclude each other: turns are those of the "
        "record's own messages");
  }
  if (score.assistant && config.prompting.continue_final_message) {
    throw UsageError("--score-assistant and --continue-final-message exclude each other");
  }
  const bool digits =
      !score.from.empty() && score.from.find_first_not_of("0123456789") == std::string::npos;
  if (digits && score.first_counted().value_or(0) < 1) {
    throw UsageError(fmt::format(
        "--score-from is '{}', expected a number of tokens from 1 on, or a field", score.from));
  }
}

void check_generate_options(const JobConfig& config) {
  check_common_options(config);
  if (config.lockstep.enabled && !(config.prompting == PromptOptions())) {
    throw UsageError(
        "--lockstep takes prompts of token ids: options that make prompts of records "
        "do not go with it");
  }
  if (config.lockstep.enabled && config.part) {
    throw UsageError("--lockstep and --part exclude each other: batches are of the whole job");
  }
  if (config.lockstep.enabled && config.show > 0) {
    throw UsageError("--show and --lockstep exclude each other");
  }
  require_one_of("--generation-config", config.generation_config, {"eod", "all", "none"});
  if (config.lockstep.enabled && config.generation_config == "all") {
    throw UsageError("--lockstep and --generation-config=all exclude each other");
  }
  require_one_of("--rng", config.lockstep.rng, {"jax", "philox"});
  require_one_of("--jax-threefry", config.lockstep.jax_threefry, {"classic", "partitionable"});
  require_one_of("--logprobs-for", config.logprobs_for, {"all", "generated"});
  if (config.sampling.temperature < 0.0F && !config.lockstep.enabled) {
    throw UsageError(fmt::format("--temperature is {}, expected 0 or a positive number",
                                 config.sampling.temperature));
  }
  if (config.logprobs_for == "generated" && !config.logprobs && config.top_logprobs == 0) {
    throw UsageError("--logprobs-for=generated needs --logprobs or --top-logprobs");
  }
  for (const TokenId id : config.limits.eod_token_ids) {
    if (config.ignore_eos && id != -1) {
      throw UsageError("--ignore-eos and --eod-token-id contradict each other");
    }
  }
  refuse_contradictions(config);
  if (!config.lockstep.enabled && config.lockstep.batch_size != 0) {
    throw UsageError(
        "--batch-size is an option of --lockstep; --slots sets the sequences in flight");
  }
  const LockstepOptions plain;
  if (!config.lockstep.enabled &&
      (config.lockstep.rng != plain.rng || config.lockstep.jax_threefry != plain.jax_threefry)) {
    throw UsageError("--rng and --jax-threefry are options of --lockstep");
  }
  if (config.lockstep.enabled && config.prefix_memory) {
    throw UsageError("--lockstep shares no prefixes: leave --prefix-memory out");
  }
}

}  // namespace gridmill::cli
