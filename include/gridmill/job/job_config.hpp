#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "gridmill/base/dtype.hpp"
#include "gridmill/base/grid_shape.hpp"
#include "gridmill/base/ids.hpp"
#include "gridmill/job/job_part.hpp"
#include "gridmill/prompts/prompt_options.hpp"
#include "gridmill/sampling/sampling_options.hpp"

namespace gridmill {

/// Where and how a model runs; shared by generate, verify and score. Names and defaults as in
/// docs/cli.md.
struct RunOptions {
  std::string model;
  GridShape grid{.dp = 0, .fsdp = 1, .tp = 1};  ///< 0 = whatever remains
  bool gather_params_once = false;
  std::int64_t fsdp_min_weight_size = 16384;
  std::string param_dtype = "checkpoint";  ///< checkpoint, bf16, fp32
  std::string compute_dtype = "auto";      ///< auto, bf16, fp32, int8
  std::string backend = "auto";
  std::string kernel_target = "auto";
  bool share_gpu = false;
  int slots = 0;    ///< 0 = auto
  int threads = 0;  ///< 0 = auto
  std::string log_level = "info";
};

/// The fixed-batch mode: whole batches through generate_tokens.
struct LockstepOptions {
  bool enabled = false;
  std::int64_t batch_size = 0;  ///< 0 = the whole prompt file
  std::string rng = "jax";      ///< jax, philox
  std::string jax_threefry = "classic";
};

/// Options of `gridmill score`, whose prompts are whole rows.
struct ScoreOptions {
  bool enabled = false;
  std::string from;        ///< what counts: from this token, or from this field of a record, on
  bool assistant = false;  ///< the assistant's turns of messages count
  bool logits = false;     ///< all logits are stored

  /// `from` as a number; nothing if it names a field or is empty.
  [[nodiscard]] std::optional<std::size_t> first_counted() const {
    constexpr std::size_t kMostDigits = 9;
    const bool number = !from.empty() && from.size() <= kMostDigits &&
                        from.find_first_not_of("0123456789") == std::string::npos;
    return number ? std::optional(static_cast<std::size_t>(std::stoull(from))) : std::nullopt;
  }
};

/// One run of `gridmill generate` or `gridmill score`.
// Fields stand by topic. NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding)
struct JobConfig {
  RunOptions run;
  std::string prompts;
  std::string prompt_field = "prompt";
  PromptOptions prompting;  ///< how records become prompts
  int show = 0;             ///< prints so many prompts and does nothing else
  std::string output;
  std::int64_t max_length = 0;  ///< 0 = min(2048, the model's limit); score: the longest prompt
  bool allow_long = false;
  SamplingOptions sampling;
  RowLimits limits;         ///< eod_token_ids: empty = the model's; -1 = never stop
  bool ignore_eos = false;  ///< as if eod_token_ids were -1
  /// Names of the fields of both structs that the user has given.
  std::set<std::string> given{};
  std::string generation_config = "eod";  ///< eod, all, none
  bool add_special_tokens = true;
  std::uint32_t samples_per_prompt = 1;
  bool logprobs = false;
  /// Name of the object in a record that overrides options; dots lead into objects.
  std::string sampling_field = "sampling";
  std::int32_t top_logprobs = 0;     ///< likeliest tokens kept a position; implies `logprobs`
  std::string logprobs_for = "all";  ///< all, generated; score: all, counted
  std::string resume = "auto";       ///< auto, never, require
  std::optional<JobPart> part{};     ///< what this run does; nothing = the whole job
  bool allow_failed_rows = false;
  bool retry_failed = false;
  std::chrono::milliseconds commit_interval{1000};
  /// Rows that take longer are saved half-way, so that no kill costs more than this much work a
  /// row. No option: docs/reliability.md says what it costs.
  std::chrono::milliseconds partial_interval{60'000};
  std::optional<std::chrono::milliseconds> time_limit;
  /// Bytes a rank for common starts of prompts; 0 = rows share nothing, nullopt = what is left.
  std::optional<std::uint64_t> prefix_memory;
  std::string progress = "auto";  ///< auto, bar, plain, json, none
  std::string metrics;
  std::string config_file;  ///< where options were read from; empty = none
  LockstepOptions lockstep;
  ScoreOptions score;
  std::vector<std::string> command_line;  ///< for the run log
};

}  // namespace gridmill
