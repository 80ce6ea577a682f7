// A pool of KV pages in virtual time, with the product's own generator; the table of
// docs/performance/simulations.md.
// Fails if rows that take pages as they grow ever take longer than rows that set aside the longest
// length.
//
// usage: pool_simulation [ROWS [MS_A_PASS]]    default: 600 5

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "gridmill/base/format.hpp"
#include "gridmill/generate/generator.hpp"
#include "simulation/scripted_model.hpp"

namespace gridmill::test {
namespace {

constexpr std::int64_t kLongest = 2048;
constexpr int kSlots = 256;
/// Weights of 16 GB at 3.3 TB/s; 16 GFLOP a token at 400 TFLOP/s; 128 KiB of keys and values a
/// position (Llama 3.1 8B) at 3.3 TB/s.
constexpr PassCosts kCosts{.pass_ms = 5, .token_ms = 0.04, .position_ms = 0.00004};

struct Job {
  int rows = 600;
  PassCosts costs = kCosts;
};

/// (0, 1). The standard library's distributions differ between libraries.
double uniform(std::mt19937_64& random) {
  return (static_cast<double>(random() >> 11) + 0.5) * 0x1p-53;
}

struct Lengths {
  const char* name;
  std::int64_t shortest_prompt;
  std::int64_t longest_prompt;
  std::function<double(std::mt19937_64&)> new_tokens;
};

double exponential(std::mt19937_64& random, double mean) {
  return -mean * std::log(uniform(random));
}

std::vector<Lengths> kinds() {
  const auto endless = [](std::mt19937_64&) { return 1e9; };
  const auto brief = [](std::mt19937_64& random) { return exponential(random, 200); };
  const auto longer = [](std::mt19937_64& random) { return exponential(random, 600); };
  const auto any = [](std::mt19937_64& random) { return kLongest * uniform(random); };
  const auto fifth = [](std::mt19937_64& random) {
    return uniform(random) < 0.2 ? 1e9 : 10 + 140 * uniform(random);
  };
  return {{"short prompts, all reach the limit", 5, 100, endless},
          {"short prompts, exponential, mean 200", 5, 100, brief},
          {"short prompts, exponential, mean 600", 5, 100, longer},
          {"short prompts, uniform up to the limit", 5, 100, any},
          {"short prompts, a fifth reaches the limit, others 10 to 150", 5, 100, fifth},
          {"long prompts, all reach the limit", 200, 1200, endless},
          {"long prompts, exponential, mean 200", 200, 1200, brief}};
}

struct Outcome {
  PassLog log;
  GeneratorStatistics statistics;
};

/// A model without parameters.
class NoParameters final : public ParameterSource {
 public:
  void prefetch(UnitId /*unit*/) override {}
  [[nodiscard]] UnitLease acquire(UnitId /*unit*/) override { return {weights_, nullptr}; }
  void embed(Stream& /*stream*/, std::span<const TokenId> /*ids*/, DeviceMatrix /*out*/) override {}

 private:
  UnitWeights weights_;
};

Outcome run(const Lengths& kind, const Job& job, int slots, std::int64_t pool_positions) {
  std::mt19937_64 random(1);
  std::vector<Request> requests;
  std::vector<std::int64_t> lengths;
  for (int row = 0; row < job.rows; ++row) {
    const auto spread = static_cast<double>(kind.longest_prompt - kind.shortest_prompt);
    const std::int64_t prompt =
        kind.shortest_prompt + static_cast<std::int64_t>(spread * uniform(random));
    const double wanted = static_cast<double>(prompt) + 1 + kind.new_tokens(random);
    lengths.push_back(static_cast<std::int64_t>(std::min<double>(wanted, kLongest)));
    Request request;
    request.row = static_cast<RowId>(row);
    request.prompt_index = static_cast<PromptId>(row);
    request.prompt.assign(static_cast<std::size_t>(prompt), 0);
    request.max_length = kLongest;
    request.limits.eod_token_ids = {ScriptedModel::kEnd};
    requests.push_back(std::move(request));
  }
  Outcome outcome;
  const ScriptedModel model(lengths, job.costs, outcome.log);
  const auto backend = make_backend("reference", {});
  const auto stream = backend->make_stream();
  NoExchange alone;
  ExecutionContext context{*backend, *stream, alone};
  NoParameters parameters;
  Generator generator(model, context, parameters,
                      {.slots = slots, .max_length = kLongest, .pool_positions = pool_positions});
  auto next = requests.begin();
  while (next != requests.end() || !generator.idle()) {
    for (int free = generator.free_slots(); free > 0 && next != requests.end(); --free) {
      if (!generator.admit(std::move(*next++))) throw InternalError("a claimed row was refused");
    }
    for (const Completion& completion : generator.step()) {
      const auto row = static_cast<std::size_t>(completion.row);
      if (static_cast<std::int64_t>(completion.tokens.size()) != lengths.at(row)) {
        throw InternalError("a row has not its length");
      }
    }
  }
  outcome.statistics = generator.statistics();
  if (outcome.statistics.completed_rows != job.rows) throw InternalError("a row was lost");
  return outcome;
}

/// @return whether pages are at least as fast.
bool compare(const Lengths& kind, const Job& job, int whole_rows) {
  const Outcome reserving = run(kind, job, std::min(whole_rows, kSlots), 0);
  const Outcome paged = run(kind, job, kSlots, whole_rows * kLongest);
  const auto in_flight = [](const Outcome& outcome) {
    return static_cast<double>(outcome.log.spans) / static_cast<double>(outcome.statistics.passes);
  };
  const auto fed =
      static_cast<double>(reserving.statistics.prompt_tokens + reserving.statistics.new_tokens);
  std::fputs(
      fmt::format("| {} | {} | {:.0f} | {:.0f} | {:.2f} | {:.0f} | {:.0f} | {} | {:.0f} % |\n",
                  kind.name, whole_rows, reserving.log.ms / 1e3, paged.log.ms / 1e3,
                  reserving.log.ms / paged.log.ms, in_flight(reserving), in_flight(paged),
                  paged.statistics.preempted_rows,
                  100 * static_cast<double>(paged.statistics.refed_tokens) / fed)
          .c_str(),
      stdout);
  return paged.log.ms <= reserving.log.ms;
}

int run_all(const Job& job) {
  std::fputs(
      "| rows | whole rows in the pool | set aside: s | pages: s | times as fast | rows fed a pass "
      "| with pages | preempted | fed again |\n|---|---|---|---|---|---|---|---|---|\n",
      stdout);
  bool faster = true;
  for (const Lengths& kind : kinds()) {
    for (const int whole_rows : {20, 60}) faster = compare(kind, job, whole_rows) && faster;
  }
  if (!faster) std::fputs("pages took longer\n", stderr);
  return faster ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace
}  // namespace gridmill::test

int main(int argc, char** argv) {
  try {
    gridmill::test::Job job;
    if (argc > 1) job.rows = std::stoi(argv[1]);
    if (argc > 2) job.costs.pass_ms = std::stod(argv[2]);
    return gridmill::test::run_all(job);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "pool_simulation: %s\n", error.what());
    return EXIT_FAILURE;
  }
}
