// LIBS: kernels
//
// Kernels of the cpu backend on one thread, as shares of what the machine gives in the same run:
// between its own steps each benchmark measures its limit (read bandwidth, update bandwidth or the
// product rate), every few milliseconds. Other work on the machine disturbs both, so the fastest
// quarter of the steps is compared with the fastest quarter of the limits: "percent". Times are CPU
// time of the thread.
//
// Shapes: the 110M Llama (D 768, F 2048) and the 0.5B xLSTM (D 1536, 4 heads of 192 x 384).
#include <benchmark/benchmark.h>
#include <time.h>  // NOLINT(modernize-deprecated-headers): clock_gettime is POSIX

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "gridmill/kernels/backend.hpp"
#include "kernels/cpu/dispatch.hpp"
#include "kernels/cpu/thread_pool.hpp"

namespace gridmill {
namespace {

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// More than any L3 that we know: what is read in a cycle comes from memory.
constexpr std::size_t kMemoryBytes = std::size_t{192} << 20;

/// Written once; weights of every shape are views into it.
std::byte* memory() {
  static const std::unique_ptr<Backend> backend = make_backend("cpu", {});
  static const Buffer buffer = [] {
    Buffer fresh = backend->allocate(kMemoryBytes);
    // bf16 values near 1 (and fp32 values alike): no NaN, no subnormals.
    auto* words = reinterpret_cast<std::uint32_t*>(fresh.data());
    std::uint32_t state = 1;
    for (std::size_t i = 0; i < kMemoryBytes / 4; ++i) {
      state = state * 1664525U + 1013904223U;
      words[i] = (state & 0x807F807FU) | 0x3C803C80U;
    }
    return fresh;
  }();
  return buffer.data();
}

enum class Limit { read, update, product };

/// The machine's limit right now, from one or two milliseconds: bytes or operations a second.
double limit_now(Limit limit, DType dtype) {
  const cpu::KernelTable kernels = cpu::kernels_for("auto", dtype);
  auto* floats = reinterpret_cast<float*>(memory());
  constexpr std::int64_t kFloats = std::int64_t{12} << 20;  // 48 MiB
  constexpr std::int64_t kSteps = 200000;
  static std::int64_t next = 0;  // goes round, so that nothing is met in a cache
  next = (next + kFloats) % static_cast<std::int64_t>(kMemoryBytes / 4);
  double amount = 0;
  const double start = cpu_seconds();
  switch (limit) {
    case Limit::read:
      benchmark::DoNotOptimize(kernels.limit_read(floats + next, kFloats));
      amount = 4.0 * kFloats;
      break;
    case Limit::update:
      kernels.limit_update(floats + next, kFloats);
      amount = 8.0 * kFloats;
      break;
    case Limit::product:
      benchmark::DoNotOptimize(kernels.limit_product(kSteps));
      amount = (dtype == DType::bf16 ? 64.0 : 32.0) * 16 * kSteps;
      break;
  }
  return amount / (cpu_seconds() - start);
}

/// What the fastest quarter of some times or rates reaches.
double quartile(std::vector<double>& values, bool largest) {
  std::sort(values.begin(), values.end());
  if (largest) std::reverse(values.begin(), values.end());
  return values[values.size() / 4];
}

/// Runs `step(i)` in the benchmark's loop and reports its rate beside the limit.
template <typename Step>
void measure(benchmark::State& state, Limit limit, DType dtype, double amount_a_step,
             const Step& step) {
  constexpr double kBetweenLimits = 0.005;
  step(0);
  std::vector<double> times;
  std::vector<double> limits = {limit_now(limit, dtype)};
  std::int64_t i = 0;
  double since_limit = 0;
  for (auto _ : state) {
    const double start = cpu_seconds();
    step(++i);
    times.push_back(cpu_seconds() - start);
    since_limit += times.back();
    if (since_limit > kBetweenLimits) {
      state.PauseTiming();
      limits.push_back(limit_now(limit, dtype));
      since_limit = 0;
      state.ResumeTiming();
    }
  }
  const double best = quartile(limits, true);
  const double rate = amount_a_step / quartile(times, false);
  const char* unit = limit == Limit::product ? "Gflop_s" : "GB_s";
  state.counters[unit] = rate / 1e9;
  state.counters["limit"] = best / 1e9;
  state.counters["percent"] = 100 * rate / best;
}

enum class Product { plain, gated, row_parallel };

/// Matrices of one shape, as many as memory holds, so that every product reads from memory.
struct Weights {
  std::vector<Weight> matrices;
  Weights(const Backend& backend, std::int64_t outputs, std::int64_t inputs, Product kind) {
    Weight weight;
    weight.shape = {outputs, inputs, kind == Product::row_parallel, inputs, 0};
    weight.fuse = kind == Product::gated ? Fuse::interleave : Fuse::concatenate;
    weight.panel_bytes = backend.panel_bytes(weight.shape, weight.layout);
    const std::int64_t width = backend.panel_outputs();
    const std::int64_t panels = kind == Product::gated ? 2 * ((outputs / 2 + width - 1) / width)
                                                       : (outputs + width - 1) / width;
    const std::size_t bytes = weight.panel_bytes * static_cast<std::size_t>(panels);
    for (std::size_t at = 0; at + bytes <= kMemoryBytes; at += bytes) {
      weight.runs = {{0, panels, memory() + at}};
      matrices.push_back(weight);
    }
  }
  [[nodiscard]] const Weight& operator[](std::int64_t i) const {
    return matrices[static_cast<std::size_t>(i) % matrices.size()];
  }
};

struct Rows {
  Buffer buffer;
  PackedRows rows;
  Rows(Backend& backend, Stream& stream, std::int64_t count, std::int64_t inputs)
      : buffer(backend.allocate(backend.packed_bytes(count, inputs))),
        rows{buffer.data(), count, inputs} {
    std::vector<float> x(static_cast<std::size_t>(count * inputs));
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 13) / 13 - 0.5F;
    const ConstDeviceMatrix source{x.data(), count, inputs, inputs};
    backend.pack_rows(stream, {&source, 1}, rows);
  }
};

/// Args: rows, outputs, inputs.
void product(benchmark::State& state, Product kind, DType dtype) {
  const std::unique_ptr<Backend> backend =
      make_backend("cpu", {.compute_dtype = dtype, .threads = 1, .kernel_target = "auto"});
  const std::unique_ptr<Stream> stream = backend->make_stream();
  const std::int64_t m = state.range(0);
  const std::int64_t outputs = state.range(1);
  const std::int64_t inputs = state.range(2);
  const Weights weights(*backend, outputs, inputs, kind);
  const Rows x(*backend, *stream, m, inputs);
  const std::int64_t width = kind == Product::gated ? outputs / 2 : outputs;
  const Buffer out = backend->allocate(static_cast<std::size_t>(m * width) * 4);
  const DeviceMatrix y{reinterpret_cast<float*>(out.data()), m, width, width};
  const double bytes = static_cast<double>(outputs * inputs) * static_cast<double>(size_of(dtype));
  const double flops = 2.0 * static_cast<double>(m * outputs * inputs);
  // Up to 8 rows a matrix takes longer to arrive than to multiply with.
  const bool streaming = m <= 8;
  measure(state, streaming ? Limit::read : Limit::product, dtype, streaming ? bytes : flops,
          [&](std::int64_t i) {
            switch (kind) {
              case Product::plain:
                backend->linear(*stream, x.rows, weights[i], {}, 0, y);
                break;
              case Product::gated:
                backend->linear_gated(*stream, x.rows, weights[i], {}, Activation::silu,
                                      {out.data(), m, width});
                break;
              case Product::row_parallel:
                backend->linear_row_parallel(*stream, x.rows, weights[i], {}, true, y);
                break;
            }
          });
}

const std::vector<std::int64_t> kRowCounts = {1, 2, 4, 8, 16, 32, 64, 128, 512};

void with_rows(benchmark::internal::Benchmark* bench, std::int64_t outputs, std::int64_t inputs) {
  for (const std::int64_t m : kRowCounts) bench->Args({m, outputs, inputs});
}

BENCHMARK_CAPTURE(product, bf16, Product::plain, DType::bf16)
    ->ArgNames({"M", "O", "I"})
    ->Apply([](auto* bench) {
      with_rows(bench, 2304, 768);
      with_rows(bench, 4608, 1536);
    });
BENCHMARK_CAPTURE(product, bf16_gated, Product::gated, DType::bf16)
    ->ArgNames({"M", "O", "I"})
    ->Apply([](auto* bench) {
      with_rows(bench, 4096, 768);
      with_rows(bench, 8320, 1536);
    });
BENCHMARK_CAPTURE(product, bf16_row_parallel, Product::row_parallel, DType::bf16)
    ->ArgNames({"M", "O", "I"})
    ->Apply([](auto* bench) {
      with_rows(bench, 768, 2048);
      with_rows(bench, 1536, 4160);
    });
BENCHMARK_CAPTURE(product, fp32, Product::plain, DType::fp32)
    ->ArgNames({"M", "O", "I"})
    ->Apply([](auto* bench) { with_rows(bench, 4608, 1536); });

/// What the 8 fixed chains and their tree cost a row-parallel product beside a single chain, which
/// would depend on tp. Args: rows, outputs, inputs.
void contract_cost(benchmark::State& state) {
  const std::unique_ptr<Backend> backend =
      make_backend("cpu", {.compute_dtype = DType::bf16, .threads = 1, .kernel_target = "auto"});
  const std::unique_ptr<Stream> stream = backend->make_stream();
  const std::int64_t m = state.range(0);
  const std::int64_t outputs = state.range(1);
  const std::int64_t inputs = state.range(2);
  const Weights eight(*backend, outputs, inputs, Product::row_parallel);
  const Weights one(*backend, outputs, inputs, Product::plain);
  const Rows x(*backend, *stream, m, inputs);
  const Buffer out = backend->allocate(static_cast<std::size_t>(m * outputs) * 4);
  const DeviceMatrix y{reinterpret_cast<float*>(out.data()), m, outputs, outputs};
  std::vector<double> with;
  std::vector<double> without;
  std::int64_t i = 0;
  for (auto _ : state) {
    const double start = cpu_seconds();
    backend->linear_row_parallel(*stream, x.rows, eight[++i], {}, false, y);
    const double middle = cpu_seconds();
    backend->linear(*stream, x.rows, one[++i], {}, 0, y);
    with.push_back(middle - start);
    without.push_back(cpu_seconds() - middle);
  }
  state.counters["percent_more"] = 100 * (quartile(with, false) / quartile(without, false) - 1);
}
BENCHMARK(contract_cost)->ArgNames({"M", "O", "I"})->Apply([](auto* bench) {
  for (const std::int64_t m : {1, 8, 32, 64, 512}) {
    bench->Args({m, 768, 768});
    bench->Args({m, 768, 2048});
    bench->Args({m, 2048, 5632});
  }
});

double wall_seconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// Two threads beside one, in wall time: how much faster, and as a share of what two threads are
/// faster on registers. Args: rows, outputs, inputs.
void two_threads(benchmark::State& state) {
  const std::int64_t m = state.range(0);
  const std::int64_t outputs = state.range(1);
  const std::int64_t inputs = state.range(2);
  const cpu::KernelTable kernels = cpu::kernels_for("auto", DType::bf16);
  std::vector<double> step_times[2];
  std::vector<double> limit_times[2];
  std::vector<std::unique_ptr<Backend>> backends;
  for (const int threads : {1, 2}) {
    backends.push_back(make_backend(
        "cpu", {.compute_dtype = DType::bf16, .threads = threads, .kernel_target = "auto"}));
  }
  cpu::ThreadPool pool(2);
  const std::unique_ptr<Stream> stream = backends[0]->make_stream();
  const Weights weights(*backends[0], outputs, inputs, Product::plain);
  const Rows x(*backends[0], *stream, m, inputs);
  const Buffer out = backends[0]->allocate(static_cast<std::size_t>(m * outputs) * 4);
  const DeviceMatrix y{reinterpret_cast<float*>(out.data()), m, outputs, outputs};
  std::int64_t i = 0;
  for (auto _ : state) {
    for (std::size_t threads : {1U, 2U}) {
      constexpr std::int64_t kSteps = 20000;
      pool.run(static_cast<int>(threads), [](int) {});  // awake from here on
      double start = wall_seconds();
      pool.run(static_cast<int>(threads),
               [&](int) { benchmark::DoNotOptimize(kernels.limit_product(kSteps)); });
      limit_times[threads - 1].push_back(wall_seconds() - start);
      start = wall_seconds();
      backends[threads - 1]->linear(*stream, x.rows, weights[++i], {}, 0, y);
      step_times[threads - 1].push_back(wall_seconds() - start);
    }
  }
  const double speedup = quartile(step_times[0], false) / quartile(step_times[1], false);
  // Twice the work in a step of two threads.
  const double machine = 2 * quartile(limit_times[0], false) / quartile(limit_times[1], false);
  state.counters["speedup"] = speedup;
  state.counters["machine"] = machine;
  state.counters["percent"] = 100 * speedup / machine;
}
BENCHMARK(two_threads)
    ->ArgNames({"M", "O", "I"})
    ->Args({32, 2304, 768})
    ->Args({64, 4608, 1536})
    ->Args({512, 4608, 1536});

/// Args: rows, greedy or not, log-probabilities wanted or not.
void select(benchmark::State& state) {
  constexpr std::int64_t kVocabulary = 50304;
  constexpr std::int64_t kInputs = 1536;
  const std::unique_ptr<Backend> backend =
      make_backend("cpu", {.compute_dtype = DType::bf16, .threads = 1, .kernel_target = "auto"});
  const std::unique_ptr<Stream> stream = backend->make_stream();
  const std::int64_t m = state.range(0);
  const Weights weights(*backend, kVocabulary, kInputs, Product::plain);
  const Rows x(*backend, *stream, m, kInputs);
  std::vector<SelectRow> rows(static_cast<std::size_t>(m));
  for (SelectRow& row : rows) {
    row.plan.temperature = state.range(1) != 0 ? 0.0F : 1.0F;
    row.logprobs = state.range(2) != 0;
  }
  std::vector<SelectPartial> partials(static_cast<std::size_t>(m * 8));
  const bool streaming = m <= 8;
  const double weight_values = static_cast<double>(kVocabulary * kInputs);
  measure(state, streaming ? Limit::read : Limit::product, DType::bf16,
          streaming ? 2 * weight_values : 2.0 * static_cast<double>(m) * weight_values,
          [&](std::int64_t i) {
            backend->select(*stream, x.rows, weights[i], {}, 0, kVocabulary, 0, 1, rows,
                            partials.data(), {});
          });
}
BENCHMARK(select)->ArgNames({"M", "greedy", "logprobs"})->ArgsProduct({{1, 8, 64}, {0, 1}, {0, 1}});

/// The second stage of a selection: top-p 0.95, top-k 50 and a repetition penalty over 300 tokens.
/// Args: rows, vocabulary, threads.
void filters(benchmark::State& state) {
  const std::int64_t rows = state.range(0);
  const std::int64_t vocab_size = state.range(1);
  const std::unique_ptr<Backend> backend = make_backend(
      "cpu", {.compute_dtype = DType::bf16, .threads = static_cast<int>(state.range(2))});
  const std::unique_ptr<Stream> stream = backend->make_stream();
  std::vector<float> model_logits(static_cast<std::size_t>(rows * vocab_size));
  std::mt19937 engine(7);
  std::normal_distribution<float> normal(0, 3);
  for (float& logit : model_logits) logit = normal(engine);
  std::vector<TokenRule> rules(300);
  for (std::size_t i = 0; i < rules.size(); ++i) {
    rules[i].id = static_cast<TokenId>(i * 97);
    rules[i].seen = true;
  }
  SamplingPlan plan{.temperature = 0.8F, .key = {.seed = 1}, .top_k = 50, .top_p = 0.95};
  plan.rules = {.tokens = rules, .repetition = 1.1F};
  const std::vector<SamplingPlan> plans(static_cast<std::size_t>(rows), plan);
  std::vector<float> logits = model_logits;
  std::vector<std::uint32_t> keys(static_cast<std::size_t>(rows * (vocab_size / 64 + 1)));
  std::vector<float> rule_logits(static_cast<std::size_t>(rows) * rules.size());
  const KeptLogits kept{.logits = {logits.data(), rows, vocab_size, vocab_size},
                        .block_keys = keys.data(),
                        .rule_logits = rule_logits.data()};
  std::vector<LogitPeak> peaks(plans.size());
  std::vector<FilterBins> bins(plans.size());
  std::vector<Drawn> drawn(plans.size());
  for (auto _ : state) {
    // What the first stage does for such rows: it stores their logits.
    logits = model_logits;
    backend->adjust_logits(*stream, plans, kept, peaks.data());
    std::vector<FilterSearch> searches;
    for (const LogitPeak& peak : peaks) searches.emplace_back(plan, vocab_size, peak);
    std::vector<CountPass> passes;
    do {
      passes.clear();
      for (std::size_t row = 0; row < searches.size(); ++row) {
        if (searches[row].done()) continue;
        passes.push_back(searches[row].pass());
        passes.back().index = static_cast<std::int32_t>(row);
      }
      if (passes.empty()) break;
      backend->count_logits(*stream, passes, kept, bins.data());
      for (std::size_t i = 0; i < passes.size(); ++i) {
        searches[static_cast<std::size_t>(passes[i].index)].take(bins[i]);
      }
    } while (true);
    std::vector<DrawPass> draws;
    for (const FilterSearch& search : searches) draws.push_back({plan, search.kept()});
    backend->draw_logits(*stream, draws, kept, drawn.data());
    benchmark::DoNotOptimize(drawn.data());
  }
}
BENCHMARK(filters)
    ->ArgNames({"M", "V", "threads"})
    ->Args({32, 32000, 2})
    ->Args({32, 151936, 2})
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

/// One layer of the 0.5B xLSTM. Args: slots, tokens of each slot in a pass.
void mlstm(benchmark::State& state) {
  constexpr int kHeads = 4;
  constexpr int kQk = 192;
  constexpr int kV = 384;
  constexpr int kLayers = 12;
  const std::unique_ptr<Backend> backend =
      make_backend("cpu", {.compute_dtype = DType::bf16, .threads = 1, .kernel_target = "auto"});
  const std::unique_ptr<Stream> stream = backend->make_stream();
  const auto slots = static_cast<int>(state.range(0));
  const auto tokens = static_cast<int>(state.range(1));
  const std::unique_ptr<MlstmState> cells =
      backend->make_mlstm_state({kLayers, kHeads, kQk, kV, slots});
  for (int slot = 0; slot < slots; ++slot) cells->reset(slot);  // touches the memory
  constexpr std::int64_t kColumns = 2 * kHeads * kQk + 2 * kHeads * kV + 2 * kHeads;
  const std::int64_t rows = std::int64_t{slots} * tokens;
  std::vector<float> x(static_cast<std::size_t>(rows * kColumns));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 13) / 13 - 0.5F;
  std::vector<TokenSpan> spans;
  spans.reserve(static_cast<std::size_t>(slots));
  for (int slot = 0; slot < slots; ++slot) {
    spans.push_back({slot, 0, std::int64_t{slot} * tokens, tokens, true});
  }
  const std::vector<float> ones(kHeads * kV, 1.0F);
  Mlstm layer;
  layer.heads = kHeads;
  layer.qk_dim = kQk;
  layer.v_dim = kV;
  layer.gate_soft_cap = 15;
  layer.head_norm = {NormKind::layer, 1e-6F, {ones.data(), kHeads * kV}, {}};
  const Buffer out = backend->allocate(backend->packed_bytes(rows, kHeads * kV));
  // A step reads and writes C once a slot; compared to 842 million weights a token.
  const double c_bytes = 8.0 * kHeads * kQk * kV * slots;
  measure(state, Limit::update, DType::bf16, c_bytes, [&](std::int64_t i) {
    backend->mlstm(*stream, spans, layer, static_cast<int>(i % kLayers),
                   {x.data(), rows, kColumns, kColumns}, *cells, {out.data(), rows, kHeads * kV});
  });
  const double seconds = c_bytes / (state.counters["GB_s"].value * 1e9);
  state.counters["us_token_12_layers"] = 1e6 * seconds * kLayers / static_cast<double>(rows);
  if (tokens > 1) {
    // Prefill: beside the products of a token, 842 MFLOP, at the peak.
    const double products = 842e6 / limit_now(Limit::product, DType::bf16);
    state.counters["percent_of_products"] =
        100 * seconds * kLayers / static_cast<double>(rows) / products;
  }
}
BENCHMARK(mlstm)
    ->ArgNames({"slots", "tokens"})
    ->Args({32, 1})
    ->Args({1, 16})
    ->Args({1, 64})
    ->Args({1, 256});

/// One layer of the 110M Llama: 12 heads of 64. Args: slots, tokens of each, position.
void attend(benchmark::State& state) {
  constexpr int kHeads = 12;
  constexpr int kWidth = 64;
  constexpr int kLayers = 3;
  const std::unique_ptr<Backend> backend =
      make_backend("cpu", {.compute_dtype = DType::bf16, .threads = 1, .kernel_target = "auto"});
  const std::unique_ptr<Stream> stream = backend->make_stream();
  const auto slots = static_cast<int>(state.range(0));
  const auto tokens = static_cast<int>(state.range(1));
  const auto position = static_cast<std::int32_t>(state.range(2));
  const std::int64_t length = position + tokens;
  const std::unique_ptr<KvCache> cache =
      backend->make_kv_cache({kLayers, kHeads, kWidth, slots, length});
  const std::vector<float> zeros(cache->saved_floats(length), 0.25F);
  for (int slot = 0; slot < slots; ++slot) cache->load(slot, length, zeros);
  const std::int64_t rows = std::int64_t{slots} * tokens;
  constexpr std::int64_t kColumns = 3 * kHeads * kWidth;
  std::vector<float> x(static_cast<std::size_t>(rows * kColumns));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 13) / 13 - 0.5F;
  const std::vector<float> rotary(static_cast<std::size_t>(length * kWidth), 0.7F);
  std::vector<TokenSpan> spans;
  spans.reserve(static_cast<std::size_t>(slots));
  for (int slot = 0; slot < slots; ++slot) {
    spans.push_back({slot, position, std::int64_t{slot} * tokens, tokens, true});
  }
  Attention layer;
  layer.heads = kHeads;
  layer.kv_heads = kHeads;
  layer.head_dim = kWidth;
  layer.scale = 0.125F;
  layer.rotary = {rotary.data(), length, kWidth, kWidth};
  const Buffer out = backend->allocate(backend->packed_bytes(rows, kHeads * kWidth));
  // Decode reads keys and values once; prefill multiplies each visible pair twice.
  const bool decode = tokens == 1;
  const double bytes = 4.0 * kHeads * kWidth * static_cast<double>(length * slots);
  const double pairs = static_cast<double>(tokens) * (position + (tokens + 1) / 2.0) * slots;
  measure(state, decode ? Limit::read : Limit::product, decode ? DType::bf16 : DType::fp32,
          decode ? bytes : 4.0 * kHeads * kWidth * pairs, [&](std::int64_t i) {
            backend->attend(*stream, spans, layer, static_cast<int>(i % kLayers),
                            {x.data(), rows, kColumns, kColumns}, *cache,
                            {out.data(), rows, kHeads * kWidth});
          });
}
BENCHMARK(attend)
    ->ArgNames({"slots", "tokens", "position"})
    ->Args({64, 1, 100})
    ->Args({64, 1, 500})
    ->Args({16, 1, 2000})
    ->Args({1, 256, 0})
    ->Args({1, 256, 1000});

}  // namespace
}  // namespace gridmill
