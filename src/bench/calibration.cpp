#include "gridmill/bench/calibration.hpp"

#include <algorithm>
#include <memory>
#include <utility>

#include "bench/random_parameters_detail.hpp"
#include "gridmill/base/clock.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/philox.hpp"
#include "gridmill/bench/roofline.hpp"
#include "gridmill/generate/generator.hpp"
#include "gridmill/model/model_spec.hpp"

namespace gridmill {

namespace {

using bench_detail::RandomParameters;

double weight_bytes(const ModelSpec& spec, DType dtype) {
  double bytes = 0;
  for (const UnitSpec& unit : make_model(to_json(spec))->parameters(1, 0).units) {
    for (const MatrixSpec& matrix : unit.matrices) {
      bytes += static_cast<double>(matrix.shape.outputs * matrix.shape.inputs) *
               static_cast<double>(size_of(dtype));
    }
  }
  return bytes;
}

/// The first layers of `spec` that fit into `most_bytes`.
ModelSpec cut(ModelSpec spec, DType dtype, std::uint64_t most_bytes) {
  const auto most = static_cast<double>(most_bytes);
  while (weight_bytes(spec, dtype) > most && spec.layers.size() > 1) {
    spec.layers.resize(spec.layers.size() / 2);
  }
  if (const double bytes = weight_bytes(spec, dtype); bytes > most) {
    throw ResourceError(fmt::format(
        "not enough memory to calibrate: one layer, embedding and head take {:.1f} GiB, and a "
        "calibration may take {:.1f} GiB",
        bytes / (1 << 30), most / (1 << 30)));
  }
  return spec;
}

Request request_of(std::uint64_t row, const RowLength& length, std::int64_t vocab_size) {
  Request request;
  request.prompt_index = static_cast<PromptId>(row);
  request.row = static_cast<RowId>(row);
  for (std::int64_t i = 0; i < length.prompt; ++i) {
    const auto words =
        philox4x32({static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(row), 0, 0}, {7, 7});
    request.prompt.push_back(
        static_cast<TokenId>(words[0] % static_cast<std::uint32_t>(vocab_size)));
  }
  request.max_length = length.prompt + length.generated;
  return request;
}

/// Time of some rows, and what they did.
struct Ran {
  double seconds = 0;
  PassTotals passes{};
};

/// Feeds rows until `most_s` has passed, then lets those in flight go.
class ShortJob {
 public:
  ShortJob(const CalibrationJob& job, const Model& model, ExecutionContext& context,
           ParameterSource& parameters)
      : job_(job), vocab_size_(model.info().vocab_size) {
    std::int64_t longest = 1;
    for (const RowLength& length : job.lengths) {
      longest = std::max(longest, length.prompt + length.generated);
    }
    generator_ = std::make_unique<Generator>(
        model, context, parameters,
        GeneratorOptions{.slots = job.slots, .max_length = longest, .pass_rows = job.pass_rows});
  }

  /// @param pass_seconds  least time of a pass.
  Ran run(const PassSeconds& pass_seconds) {
    Ran ran;
    const auto start = SteadyClock::now();
    while (seconds_since(start) < job_.most_s && !done()) {
      admit();
      const PassTotals before = consumed();
      static_cast<void>(generator_->step());
      PassTotals pass = consumed();
      pass.passes = 1;
      pass.fed_tokens -= before.fed_tokens;
      pass.drawn_tokens -= before.drawn_tokens;
      pass.context = before.context;
      pass.fed_rows = before.fed_rows;
      ran.passes.passes += 1;
      ran.passes.drawn_tokens += pass.drawn_tokens;
      ran.passes.seconds += pass_seconds(pass);
    }
    ran.seconds = seconds_since(start);
    return ran;
  }

 private:
  /// Twice the slots: rows begin beside others that decode.
  [[nodiscard]] bool done() const {
    return next_ >= 2 * static_cast<std::uint64_t>(job_.slots) && generator_->idle();
  }
  void admit() {
    while (generator_->free_slots() > 0 && next_ < 2 * static_cast<std::uint64_t>(job_.slots)) {
      const RowLength& length = job_.lengths[next_ % job_.lengths.size()];
      if (!generator_->admit(request_of(next_, length, vocab_size_))) return;
      ++next_;
    }
  }
  /// Counters of the generator; context and rows are those of the next pass.
  [[nodiscard]] PassTotals consumed() const {
    const GeneratorStatistics& counts = generator_->statistics();
    PassTotals totals{.fed_tokens = static_cast<double>(counts.prompt_tokens + counts.new_tokens),
                      .drawn_tokens = static_cast<double>(counts.new_tokens)};
    for (const InFlightRow& row : generator_->in_flight()) {
      totals.fed_rows += 1;
      const auto length = static_cast<double>(row.tokens.size());
      const auto prefix = static_cast<double>(row.prefix_length);
      totals.context += length > prefix ? length - 1 : 0;
    }
    return totals;
  }

  const CalibrationJob& job_;
  std::int64_t vocab_size_;
  std::unique_ptr<Generator> generator_;
  std::uint64_t next_ = 0;
};

MachineLimits better(const MachineLimits& a, const MachineLimits& b) {
  return {.read_bytes_per_s = std::max(a.read_bytes_per_s, b.read_bytes_per_s),
          .update_bytes_per_s = std::max(a.update_bytes_per_s, b.update_bytes_per_s),
          .bf16_flop_per_s = std::max(a.bf16_flop_per_s, b.bf16_flop_per_s),
          .fp32_flop_per_s = std::max(a.fp32_flop_per_s, b.fp32_flop_per_s),
          .int8_op_per_s = std::max(a.int8_op_per_s, b.int8_op_per_s)};
}

}  // namespace

Calibration calibrate(const Json& config, Backend& backend, const CalibrationJob& job) {
  const DType dtype = backend.compute_dtype();
  const ModelSpec whole = read_model_spec(config);
  const ModelSpec spec = cut(whole, dtype, job.most_bytes);
  const std::unique_ptr<Model> model = make_model(to_json(spec));
  const std::unique_ptr<Stream> stream = backend.make_stream();
  NoExchange alone;
  ExecutionContext context{.backend = backend, .stream = *stream, .tp = alone};
  RandomParameters parameters(*model, backend, *stream);
  const PassCost cost = pass_cost(*model, dtype);

  Calibration result{.layers = static_cast<std::int64_t>(spec.layers.size()),
                     .all_layers = static_cast<std::int64_t>(whole.layers.size())};
  const auto run = [&](double most_s, const MachineLimits& limits) {
    CalibrationJob some = job;
    some.most_s = most_s;
    return ShortJob(some, *model, context, parameters).run([&](const PassTotals& pass) {
      return pass_bound(cost, limits, dtype,
                        {.tokens = pass.fed_tokens,
                         .drawn = pass.drawn_tokens,
                         .rows = pass.fed_rows,
                         .context = pass.context})
          .seconds();
    });
  };
  const MachineLimits before = backend.machine_limits(job.threads);
  static_cast<void>(run(job.most_s / 10, before));  // every buffer gets its size
  const Ran ran = run(job.most_s, before);
  result.limits = better(before, backend.machine_limits(job.threads));
  // The bound was computed with the limits of before: times of memory and of products scale alike
  // when a machine is shared.
  result.share = std::min(1.0, ran.passes.seconds / ran.seconds);
  result.seconds = ran.seconds;
  return result;
}

}  // namespace gridmill
