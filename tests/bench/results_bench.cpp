// LIBS: results
// What it costs to make rows durable. Rows come as fast as 10,000 a second, one by one, as from a
// generation loop; `put_share` is the part of the time that the loop spends in put(), `cpu_share`
// that of all threads on a processor. TMPDIR says on which disk.

#include <benchmark/benchmark.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "gridmill/results/result_file.hpp"
#include "gridmill/results/result_store.hpp"

namespace gridmill {
namespace {

using Clock = std::chrono::steady_clock;

double seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

double processor_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto of = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return of(usage.ru_utime) + of(usage.ru_stime);
}

/// state.range(0) rows a second of state.range(1) tokens, for one second an iteration.
void commit_rows(benchmark::State& state) {
  const auto rows_per_second = static_cast<std::uint64_t>(state.range(0));
  const auto length = static_cast<std::uint32_t>(state.range(1));
  constexpr std::uint64_t kBurst = 10;  // a pass of the model ends a few rows at once
  const std::string path = (std::filesystem::temp_directory_path() /
                            ("gridmill_results_bench_" + std::to_string(::getpid()) + ".h5"))
                               .string();
  const JobIdentity identity{Json{{"samples_per_prompt", 1}}};
  const ResultShape shape{.rows = rows_per_second, .max_length = length, .logprobs = 1};
  const std::vector<TokenId> tokens(length, 7);
  const std::vector<float> logprobs(length, -0.5F);
  double in_put = 0;
  double elapsed = 0;
  double processor = 0;
  double waiting_processor = 0;
  double sync = 0;
  std::uint64_t syncs = 0;
  for (auto _ : state) {
    std::filesystem::remove(path);
    ResultFile::create(path, identity, shape, "bench");
    ResultStore store = ResultStore::open(path, ResultFile::open(path).layout());
    const double processor_before = processor_seconds();
    const Clock::time_point start = Clock::now();
    for (std::uint64_t row = 0; row < shape.rows;) {
      const Clock::time_point before = Clock::now();
      for (std::uint64_t i = 0; i < kBurst && row < shape.rows; ++i, ++row) {
        store.put({.row = row,
                   .status = RowStatus::done,
                   .finish_reason = FinishReason::length,
                   .prefix_length = 1,
                   .tokens = tokens,
                   .logprobs = logprobs});
      }
      in_put += seconds(Clock::now() - before);
      std::this_thread::sleep_until(start +
                                    std::chrono::microseconds(1'000'000 * row / rows_per_second));
    }
    elapsed += seconds(Clock::now() - start);
    store.close();
    processor += processor_seconds() - processor_before;
    sync += store.counters().sync_s;
    syncs += store.counters().syncs;
  }
  // What pacing itself takes: the same naps without rows.
  const double idle_before = processor_seconds();
  const Clock::time_point start = Clock::now();
  for (std::uint64_t row = 0; row < shape.rows; row += kBurst) {
    std::this_thread::sleep_until(start +
                                  std::chrono::microseconds(1'000'000 * row / rows_per_second));
  }
  waiting_processor = processor_seconds() - idle_before;
  std::filesystem::remove(path);
  const auto runs = static_cast<double>(state.iterations());
  state.counters["put_us"] = 1e6 * in_put / runs / static_cast<double>(shape.rows);
  state.counters["put_share"] = in_put / elapsed;
  state.counters["cpu_share"] = (processor - runs * waiting_processor) / elapsed;
  state.counters["sync_ms"] = 1e3 * sync / static_cast<double>(syncs);
  state.counters["rows_per_s"] = runs * static_cast<double>(shape.rows) / elapsed;
}
BENCHMARK(commit_rows)
    ->ArgNames({"rows_per_s", "tokens"})
    ->Args({100, 64})
    ->Args({1000, 64})
    ->Args({10000, 64})
    ->Iterations(2)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
}  // namespace gridmill
