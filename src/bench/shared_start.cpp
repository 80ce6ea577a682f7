#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "bench/shared_start_detail.hpp"
#include "gridmill/base/clock.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/philox.hpp"
#include "gridmill/generate/generator.hpp"

namespace gridmill::bench_detail {

namespace {

std::vector<TokenId> random_tokens(std::size_t count, std::uint32_t stream, std::int64_t vocab) {
  std::vector<TokenId> tokens;
  for (std::size_t i = 0; i < count; ++i) {
    const auto words = philox4x32({static_cast<std::uint32_t>(i), stream, 0, 0}, {7, 8});
    tokens.push_back(static_cast<TokenId>(words[0] % static_cast<std::uint32_t>(vocab)));
  }
  return tokens;
}

/// Prompts of the rows: `samples` neighbours have the same.
std::vector<std::vector<TokenId>> prompts_of(const BenchConfig& config, int batch,
                                             std::int64_t vocab) {
  const auto common =
      random_tokens(static_cast<std::size_t>(config.shared_prefix.value_or(0)), 0, vocab);
  std::vector<std::vector<TokenId>> prompts;
  for (int row = 0; row < batch; ++row) {
    const auto prompt = static_cast<std::uint32_t>(row / config.samples);
    const auto own = random_tokens(static_cast<std::size_t>(config.prompt), 1 + prompt, vocab);
    std::vector<TokenId>& tokens = prompts.emplace_back(common);
    tokens.insert(tokens.end(), own.begin(), own.end());
  }
  return prompts;
}

double run_generator(const BenchConfig& config, Generator& generator,
                     const std::vector<std::vector<TokenId>>& prompts) {
  for (std::size_t row = 0; row < prompts.size(); ++row) {
    const auto sample =
        static_cast<std::uint32_t>(row) % static_cast<std::uint32_t>(config.samples);
    Request request;
    request.row = row;
    request.prompt = prompts[row];
    request.sample_index = sample;
    request.later_samples = static_cast<std::uint32_t>(config.samples) - 1 - sample;
    request.sampling.temperature = 0;
    request.max_length = static_cast<std::int64_t>(prompts[row].size()) + config.gen;
    if (!generator.admit(std::move(request))) throw InternalError("a free slot refused a row");
  }
  const auto start = SteadyClock::now();
  while (!generator.idle()) {
    for (const Completion& completion : generator.step()) {
      if (completion.reason == FinishReason::error) {
        throw InternalError("a row failed: " + completion.failure);
      }
    }
  }
  const double seconds = seconds_since(start);
  generator.forget_prefixes();
  return seconds;
}

/// The floor: passes made by hand.
class Floor {
 public:
  Floor(const BenchConfig& config, const BenchSubject& subject, int batch, std::int64_t pass_rows)
      : config_(config),
        subject_(subject),
        pass_rows_(static_cast<std::size_t>(pass_rows)),
        state_(subject.model.make_state(
            subject.context, batch,
            config.shared_prefix.value_or(0) + config.prompt + config.gen)) {}

  double run(const std::vector<std::vector<TokenId>>& prompts) {
    seconds_ = 0;
    rows_.clear();
    for (const std::vector<TokenId>& prompt : prompts) rows_.push_back({prompt, 0});
    for (std::size_t slot = 0; slot < rows_.size(); ++slot)
      state_->reset(static_cast<SlotId>(slot));
    const auto samples = static_cast<std::size_t>(config_.samples);
    const auto common = static_cast<std::size_t>(config_.shared_prefix.value_or(0));
    feed_until({0}, common);
    std::vector<std::size_t> firsts;
    for (std::size_t row = 0; row < rows_.size(); row += samples) {
      if (row > 0 && common > 0) copy(0, row);
      firsts.push_back(row);
    }
    const std::size_t length = prompts.front().size();
    if (samples > 1) {
      feed_until(firsts, length - 1);
      for (std::size_t row = 0; row < rows_.size(); ++row) {
        if (row % samples != 0) copy(row / samples * samples, row);
      }
    }
    std::vector<std::size_t> all;
    for (std::size_t row = 0; row < rows_.size(); ++row) all.push_back(row);
    feed_until(all, length);
    for (int i = 1; i < config_.gen; ++i) feed_until(all, length + static_cast<std::size_t>(i));
    return seconds_;
  }

 private:
  struct Row {
    std::vector<TokenId> tokens;
    std::size_t fed = 0;
  };
  void copy(std::size_t from, std::size_t to) {
    state_->fork(static_cast<SlotId>(from), static_cast<SlotId>(to),
                 static_cast<std::int32_t>(rows_[from].fed));
    rows_[to].fed = rows_[from].fed;
  }
  /// Feeds `rows` until each has consumed `length` tokens; a row's last known token draws the next.
  void feed_until(const std::vector<std::size_t>& rows, std::size_t length) {
    const auto start = SteadyClock::now();
    for (bool more = true; more;) {
      more = false;
      std::vector<RowSpan> spans;
      std::vector<SelectRow> selections;
      std::vector<std::size_t> drawing;
      std::size_t left = std::max(pass_rows_, rows.size());
      for (const std::size_t index : rows) {
        Row& row = rows_[index];
        const std::size_t count = std::min(left, length - row.fed);
        more = more || count < length - row.fed;
        if (count == 0) continue;
        left -= count;
        const bool draws = row.fed + count == row.tokens.size();
        spans.push_back({.slot = static_cast<SlotId>(index),
                         .position = static_cast<std::int32_t>(row.fed),
                         .tokens = std::span(row.tokens).subspan(row.fed, count),
                         .want = draws ? LogitsWanted::last : LogitsWanted::none});
        row.fed += count;
        if (!draws) continue;
        drawing.push_back(index);
        selections.push_back(
            {.plan = {.temperature = 0, .key = {}}, .target = -1, .logprobs = false});
      }
      if (spans.empty()) break;
      std::vector<Choice> choices;
      subject_.model.forward(subject_.context, spans, *state_, subject_.parameters,
                             {.rows = selections, .choices = &choices});
      for (std::size_t i = 0; i < drawing.size(); ++i) {
        rows_[drawing[i]].tokens.push_back(choices[i].id);
      }
    }
    subject_.context.stream.synchronize();
    seconds_ += seconds_since(start);
  }

  const BenchConfig& config_;
  const BenchSubject& subject_;
  std::size_t pass_rows_;
  std::unique_ptr<BatchState> state_;
  std::vector<Row> rows_;
  double seconds_ = 0;
};

/// Median of a[i] / b[i].
double median_ratio(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < a.size(); ++i) ratios.push_back(a[i] / b[i]);
  std::sort(ratios.begin(), ratios.end());
  const std::size_t middle = ratios.size() / 2;
  return ratios.size() % 2 != 0 ? ratios[middle] : (ratios[middle - 1] + ratios[middle]) / 2;
}

}  // namespace

OrderedJson measure_sharing(const BenchConfig& config, const BenchSubject& subject, int batch,
                            const SlotPlan& plan) {
  const std::int64_t vocab = subject.model.info().vocab_size;
  const auto prompts = prompts_of(config, batch, vocab);
  const auto longest = static_cast<std::int64_t>(prompts.front().size()) + config.gen;
  GeneratorOptions options{
      .slots = batch, .max_length = longest, .pass_rows = plan.pass_rows, .sharing = {}};
  Generator alone(subject.model, subject.context, subject.parameters, options);
  options.sharing = {
      .enabled = true, .kept = plan.prefixes, .kept_positions = plan.prefix_positions};
  Generator sharing(subject.model, subject.context, subject.parameters, options);
  Floor floor(config, subject, batch, plan.pass_rows);
  std::vector<double> shared_s;
  std::vector<double> alone_s;
  std::vector<double> floor_s;
  // The first run of each makes its buffers.
  for (int i = 0; i <= config.repeat; ++i) {
    const double floor_time = floor.run(prompts);
    const double shared_time = run_generator(config, sharing, prompts);
    const double alone_time = run_generator(config, alone, prompts);
    if (i == 0) continue;
    floor_s.push_back(floor_time);
    shared_s.push_back(shared_time);
    alone_s.push_back(alone_time);
  }
  const GeneratorStatistics& counts = sharing.statistics();
  return {{"shared_prefix", config.shared_prefix.value_or(0)},
          {"samples", config.samples},
          {"prompt_tokens", counts.prompt_tokens / (config.repeat + 1)},
          {"shared_prompt_tokens", counts.shared_tokens / (config.repeat + 1)},
          {"shared_s", shared_s},
          {"alone_s", alone_s},
          {"floor_s", floor_s},
          {"shared_over_floor", median_ratio(shared_s, floor_s)},
          {"shared_over_alone", median_ratio(shared_s, alone_s)},
          {"alone_over_shared", median_ratio(alone_s, shared_s)},
          {"floor_speedup", median_ratio(alone_s, floor_s)}};
}

}  // namespace gridmill::bench_detail
