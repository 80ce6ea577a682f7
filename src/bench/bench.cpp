#include "gridmill/bench/bench.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/random_parameters_detail.hpp"
#include "bench/shared_start_detail.hpp"
#include "gridmill/base/clock.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/log.hpp"
#include "gridmill/base/philox.hpp"
#include "gridmill/base/process.hpp"
#include "gridmill/bench/roofline.hpp"
#include "gridmill/build_info/version.hpp"
#include "gridmill/generate/generator.hpp"
#include "gridmill/generate/slot_plan.hpp"
#include "gridmill/kernels/machine_limits.hpp"

namespace gridmill {

namespace {

using namespace bench_detail;

/// A figure whose limits moved by more than this between before and after is measured again,
constexpr double kCalm = 0.15;
/// so many times in all.
constexpr int kAttempts = 3;

/// Times of one batch from its first pass to its last.
struct Run {
  double prefill_s = 0;                ///< until every row has its first token
  std::int64_t prefill_passes = 0;     ///< in prefill_s
  std::int64_t decoded_meanwhile = 0;  ///< tokens in prefill_s behind a row's first
  double decode_s = 0;                 ///< from then on, while every row decodes
  double total_s = 0;
  std::int64_t decode_tokens = 0;  ///< generated in decode_s
};

/// Everything about one batch size, and the limits around it.
struct Figure {
  std::int64_t pass_rows = 0;
  MachineLimits before;
  MachineLimits after;
  std::vector<Run> runs;
  std::vector<Run> plain_runs;  ///< beside `runs`, with their temperature alone
  int attempts = 0;

  /// Largest relative change of bandwidth or product rate.
  [[nodiscard]] double moved() const {
    const auto change = [](double a, double b) {
      return a == b ? 0.0 : std::abs(a - b) / std::max(a, b);
    };
    return std::max({change(before.read_bytes_per_s, after.read_bytes_per_s),
                     change(before.bf16_flop_per_s, after.bf16_flop_per_s),
                     change(before.int8_op_per_s, after.int8_op_per_s)});
  }
  /// Limits of the machine: the better of before and after.
  [[nodiscard]] MachineLimits limits() const {
    return {.read_bytes_per_s = std::max(before.read_bytes_per_s, after.read_bytes_per_s),
            .update_bytes_per_s = std::max(before.update_bytes_per_s, after.update_bytes_per_s),
            .bf16_flop_per_s = std::max(before.bf16_flop_per_s, after.bf16_flop_per_s),
            .fp32_flop_per_s = std::max(before.fp32_flop_per_s, after.fp32_flop_per_s),
            .int8_op_per_s = std::max(before.int8_op_per_s, after.int8_op_per_s)};
  }
};

int threads_of(const BenchConfig& config) {
  return config.threads > 0 ? config.threads : usable_cores();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 != 0 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

/// How the rows of a run are selected.
enum class Selection { as_asked, plain };

/// Prompts of random tokens, no end of text: every row takes the same work.
Request make_request(const BenchConfig& config, RowId row, std::int64_t vocab_size, int gen,
                     Selection selection) {
  Request request;
  request.prompt_index = static_cast<PromptId>(row);
  request.row = row;
  for (int i = 0; i < config.prompt; ++i) {
    const auto words =
        philox4x32({static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(row), 0, 0}, {7, 7});
    request.prompt.push_back(
        static_cast<TokenId>(words[0] % static_cast<std::uint32_t>(vocab_size)));
  }
  request.sampling.temperature = config.sampling ? config.sampling->temperature : 0.0F;
  if (config.sampling && selection == Selection::as_asked) request.sampling = *config.sampling;
  request.max_length = config.prompt + gen;
  return request;
}

Run run_once(const BenchConfig& config, Generator& generator, std::int64_t vocab_size, int batch,
             int gen, Selection selection = Selection::as_asked) {
  for (int row = 0; row < batch; ++row) {
    if (!generator.admit(
            make_request(config, static_cast<RowId>(row), vocab_size, gen, selection))) {
      throw InternalError("a free slot refused a row");
    }
  }
  Run run;
  const GeneratorStatistics before = generator.statistics();
  const std::int64_t prompt_tokens = std::int64_t{batch} * config.prompt;
  const auto start = SteadyClock::now();
  std::int64_t first_tokens = 0;  // generated when every row had its first
  while (!generator.idle()) {
    const std::vector<Completion> completions = generator.step();
    for (const Completion& completion : completions) {
      if (completion.reason == FinishReason::error) {
        throw InternalError("a row failed: " + completion.failure);
      }
    }
    const double now = seconds_since(start);
    const GeneratorStatistics& counts = generator.statistics();
    const std::int64_t generated = counts.new_tokens - before.new_tokens;
    if (run.prefill_s == 0) {
      if (counts.prompt_tokens - before.prompt_tokens == prompt_tokens) {
        run.prefill_s = now;
        run.prefill_passes = counts.passes - before.passes;
        first_tokens = generated;
        run.decoded_meanwhile = generated - batch;
      }
    } else if (counts.completed_rows == before.completed_rows || run.decode_tokens == 0) {
      // Until the first row ends, every row decodes in every pass.
      run.decode_s = now - run.prefill_s;
      run.decode_tokens = generated - first_tokens;
    }
    run.total_s = now;
  }
  return run;
}

/// As generate plans it, but every row of the batch has to have room until its end: all of them are
/// in flight from the first pass to the last.
SlotPlan plan_of(const BenchConfig& config, const BenchSubject& subject, int batch) {
  try {
    const SlotPlan plan =
        plan_slots(subject.context.backend, subject.model,
                   {.slots = batch,
                    .pass_rows = config.pass_rows,
                    .max_length = row_length(config),
                    .prefix_memory = measures_sharing(config) ? std::optional<std::uint64_t>()
                                                              : std::uint64_t{0}});
    if (plan.whole_slots() < batch) {
      throw ResourceError(fmt::format("not enough memory: there is room for {} rows of {} tokens",
                                      plan.whole_slots(), row_length(config)));
    }
    return plan;
  } catch (Error& error) {
    error.add_context(fmt::format("planning a batch of {} rows", batch));
    throw;
  }
}

Figure measure(const BenchConfig& config, const BenchSubject& subject, int batch,
               double* resident_mib) {
  const std::int64_t vocab_size = subject.model.info().vocab_size;
  const SlotPlan plan = plan_of(config, subject, batch);
  Generator generator(
      subject.model, subject.context, subject.parameters,
      {.slots = batch, .max_length = config.prompt + config.gen, .pass_rows = plan.pass_rows});
  constexpr int kWarmUpTokens = 2;  // every buffer gets its size
  static_cast<void>(run_once(config, generator, vocab_size, batch, kWarmUpTokens));
  Figure best;
  for (int attempt = 1; attempt <= kAttempts; ++attempt) {
    Figure figure;
    figure.pass_rows = plan.pass_rows;
    figure.before = subject.context.backend.machine_limits(subject.threads);
    for (int i = 0; i < config.repeat; ++i) {
      figure.runs.push_back(run_once(config, generator, vocab_size, batch, config.gen));
      if (!config.sampling) continue;
      figure.plain_runs.push_back(
          run_once(config, generator, vocab_size, batch, config.gen, Selection::plain));
    }
    *resident_mib = std::max(*resident_mib, static_cast<double>(resident_bytes()) / (1 << 20));
    figure.after = subject.context.backend.machine_limits(subject.threads);
    const bool better = best.runs.empty() || figure.moved() < best.moved();
    if (better) best = figure;
    best.attempts = attempt;
    if (figure.moved() <= kCalm) break;
    log::warn("batch {}: the machine's limits moved by {:.0f} % while it was measured{}", batch,
              100 * figure.moved(), attempt < kAttempts ? "; measuring it again" : "");
  }
  return best;
}

/// Fields that every line has.
OrderedJson beginning_of(const BenchConfig& config, const BenchSubject& subject, int batch,
                         std::int64_t pass_rows) {
  const Backend& backend = subject.context.backend;
  OrderedJson line = {
      {"shape", config.shape.empty() ? config.model : config.shape},
      {"batch", batch},
      {"threads", subject.threads},
      {"prompt", config.prompt},
      {"gen", config.gen},
      {"pass_rows", pass_rows},
      {"backend", backend.name()},
      {"kernel_target", backend.target()},
      {"compute_dtype", format_of(config).coded() ? "int8" : name_of(backend.compute_dtype())},
      {"weight_dtype", config.dtype},
  };
  line.update(subject.loading);
  return line;
}

void end_line(OrderedJson& line) {
  line["version"] = version();
  line["git"] = git_hash();
  line["at"] = utc_timestamp();
}

OrderedJson sharing_line(const BenchConfig& config, const BenchSubject& subject, int batch) {
  const SlotPlan plan = plan_of(config, subject, batch);
  OrderedJson line = beginning_of(config, subject, batch, plan.pass_rows);
  line.update(measure_sharing(config, subject, batch, plan));
  end_line(line);
  return line;
}

OrderedJson line_of(const BenchConfig& config, const BenchSubject& subject, double resident_mib,
                    int batch, const Figure& figure) {
  std::vector<double> prefill_s;
  std::vector<double> total_s;
  std::vector<double> decode_tps;
  std::vector<double> prefill_tps;
  std::vector<double> prefill_product_share;
  const Backend& backend = subject.context.backend;
  const DType dtype = backend.compute_dtype();
  const PassCost cost = pass_cost(subject.model, dtype, format_of(config));
  const MachineLimits limits = figure.limits();
  const double prompt_bound_s = prefill_bound_s(cost, limits, dtype, config.prompt);
  const double row_bound_s = decode_bound(cost, limits, dtype, 1, 0).multiplying_s;
  for (const Run& run : figure.runs) {
    prefill_s.push_back(run.prefill_s);
    total_s.push_back(run.total_s);
    decode_tps.push_back(static_cast<double>(run.decode_tokens) / run.decode_s);
    prefill_tps.push_back(batch * config.prompt / run.prefill_s);
    prefill_product_share.push_back(
        (batch * prompt_bound_s + static_cast<double>(run.decoded_meanwhile) * row_bound_s) /
        run.prefill_s);
  }
  const double context_tokens = config.prompt + config.gen / 2.0;
  const DecodeBound decode = decode_bound(cost, limits, dtype, batch, context_tokens);
  const double decode_s = batch / median(decode_tps);
  const double prefill_bound_tps = config.prompt / prompt_bound_s;
  const std::size_t state_bytes =
      static_cast<std::size_t>(batch) *
      subject.model.state_bytes_per_slot(1, config.prompt + config.gen, dtype);
  OrderedJson line = beginning_of(config, subject, batch, figure.pass_rows);
  line.update(OrderedJson{
      {"prefill_s", prefill_s},
      {"prefill_passes", figure.runs.back().prefill_passes},
      {"total_s", total_s},
      {"decode_tps", median(decode_tps)},
      {"prefill_tps", median(prefill_tps)},
      {"roofline_share", decode.seconds() / decode_s},
      {"decode_bandwidth_share", decode.moving_s / decode_s},
      {"decode_product_share", decode.multiplying_s / decode_s},
      {"prefill_roofline_share", median(prefill_tps) / prefill_bound_tps},
      {"prefill_product_share", median(prefill_product_share)},
      {"decode_bound_tps", batch / decode.seconds()},
      {"prefill_bound_tps", prefill_bound_tps},
      {"rss_mib", resident_mib},
      {"weights_mib", subject.weight_bytes / (1 << 20)},
      {"state_mib", static_cast<double>(state_bytes) / (1 << 20)},
  });
  line.update(to_json(limits));
  if (config.sampling) {
    std::vector<double> costs;
    for (std::size_t i = 0; i < figure.runs.size(); ++i) {
      const auto step_s = [](const Run& run) {
        return run.decode_s / static_cast<double>(run.decode_tokens);
      };
      costs.push_back(step_s(figure.runs[i]) / step_s(figure.plain_runs[i]) - 1);
    }
    line["sampling_cost"] = median(costs);
  }
  line["canary"] = {to_json(figure.before), to_json(figure.after)};
  line["canary_moved"] = figure.moved() > kCalm;
  line["attempts"] = figure.attempts;
  end_line(line);
  return line;
}

}  // namespace

void check_rows_fit(const BenchConfig& config, const ModelInfo& model) {
  const std::int64_t limit = model.model_limit;
  if (limit > 0 && row_length(config) > limit) {
    throw UsageError(fmt::format(
        "--shared-prefix {}, --prompt {} and --gen {} are longer than the model's limit of {}",
        config.shared_prefix.value_or(0), config.prompt, config.gen, limit));
  }
}

void bench_batches(const BenchConfig& config, const BenchSubject& subject) {
  check_rows_fit(config, subject.model.info());
  double resident_mib = 0;
  for (const int batch : config.batches) {
    OrderedJson fields;
    if (measures_sharing(config)) {
      fields = sharing_line(config, subject, batch);
    } else {
      const Figure figure = measure(config, subject, batch, &resident_mib);
      fields = line_of(config, subject, resident_mib, batch, figure);
    }
    const std::string line = fields.dump() + "\n";
    std::fputs(line.c_str(), stdout);
    std::fflush(stdout);
  }
}

WeightFormat format_of(const BenchConfig& config) {
  if (config.dtype == "int8") return default_format(WeightCodes::int8);
  if (config.dtype == "int4") return default_format(WeightCodes::int4);
  return {};
}

std::unique_ptr<Backend> make_bench_backend(const BenchConfig& config) {
  return make_backend(config.backend,
                      {.compute_dtype = config.dtype == "fp32" ? DType::fp32 : DType::bf16,
                       .int8_products = format_of(config).coded(),
                       .threads = threads_of(config)});
}

void bench_in_memory(const BenchConfig& config, const Json& model, Backend& backend) {
  if (format_of(config).coded()) {
    throw UsageError(fmt::format(
        "--dtype {} needs weights in a file; here they are made in memory, in bf16 or fp32",
        config.dtype));
  }
  const std::unique_ptr<Model> graph = make_model(model);
  check_rows_fit(config, graph->info());
  const std::unique_ptr<Stream> stream = backend.make_stream();
  NoExchange alone;
  ExecutionContext context{.backend = backend, .stream = *stream, .tp = alone};
  const auto start = SteadyClock::now();
  RandomParameters parameters(*graph, backend, *stream);
  const double seconds = seconds_since(start);
  bench_batches(config, {.model = *graph,
                         .context = context,
                         .parameters = parameters,
                         .threads = threads_of(config),
                         .weight_bytes = static_cast<double>(parameters.size_bytes()),
                         .loading = {{"weights", "random, made in memory"}, {"make_s", seconds}}});
}

}  // namespace gridmill
