// LIBS: base
// Rates of what runs once a row, a token or a parameter.
#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "gridmill/base/content_hash.hpp"
#include "gridmill/base/crc32c.hpp"
#include "gridmill/base/numerics.hpp"
#include "gridmill/base/philox.hpp"

namespace {

void crc32c(benchmark::State& state) {
  const std::vector<std::byte> bytes(static_cast<std::size_t>(state.range(0)), std::byte{7});
  for (auto _ : state) benchmark::DoNotOptimize(gridmill::crc32c(bytes));
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(crc32c)->Arg(28)->Arg(8192);

void content_hash(benchmark::State& state) {
  const std::vector<std::byte> bytes(std::size_t{1} << 20, std::byte{7});
  gridmill::ContentHash hash;
  for (auto _ : state) hash.update(bytes);
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes.size()));
}
BENCHMARK(content_hash);

void philox(benchmark::State& state) {
  std::uint32_t counter = 0;
  for (auto _ : state) benchmark::DoNotOptimize(gridmill::philox4x32({counter++, 0, 0, 0}, {1, 2}));
  state.SetItemsProcessed(state.iterations() * 4);  // words
}
BENCHMARK(philox);

template <float (*Function)(float)>
void elementary(benchmark::State& state) {
  std::vector<float> values(1024);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = 0.01F * static_cast<float>(i) + 0.1F;
  for (auto _ : state) {
    for (const float x : values) benchmark::DoNotOptimize(Function(x));
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(values.size()));
}
BENCHMARK(elementary<gridmill::exp_f32>)->Name("exp_f32");
BENCHMARK(elementary<gridmill::log_f32>)->Name("log_f32");
BENCHMARK(elementary<gridmill::tanh_f32>)->Name("tanh_f32");

}  // namespace
