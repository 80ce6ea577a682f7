#include "gridmill/kernels/machine_limits.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "gridmill/base/clock.hpp"
#include "gridmill/base/device.hpp"
#include "gridmill/base/dtype.hpp"
#include "kernels/cpu/dispatch.hpp"
#include "kernels/cpu/float_mode.hpp"
#include "kernels/cpu/memory.hpp"
#include "kernels/cpu/thread_pool.hpp"

namespace gridmill {

namespace {

using namespace cpu;

/// Samples of every limit.
constexpr std::size_t kSamples = 12;
/// A sample reads so much a thread: about a millisecond.
constexpr std::size_t kWindowBytes = std::size_t{32} << 20;
/// Windows of a thread; with at least 6 in all nothing is met again in an L3 of up to 160 MiB.
constexpr std::size_t kWindowsOfThread = 3;
constexpr std::size_t kFewestWindows = 6;
/// Steps of a product sample on registers: half a millisecond and more.
constexpr std::int64_t kProductSteps = 100000;

/// The rate that a quarter of the samples reach: other work disturbs some of them.
double upper_quartile(std::vector<double> rates) {
  std::sort(rates.begin(), rates.end(), std::greater<>());
  return rates[rates.size() / 4];
}

/// Runs loop(part, sample) on every thread, kSamples times; `amount` is what a thread does in one.
template <typename Loop>
double rate_of(ThreadPool& pool, double amount, const Loop& loop) {
  std::vector<double> rates;
  for (std::size_t sample = 0; sample < kSamples; ++sample) {
    const auto start = SteadyClock::now();
    pool.run(pool.size(), [&](int part) { loop(static_cast<std::size_t>(part), sample); });
    rates.push_back(amount * pool.size() / seconds_since(start));
  }
  return upper_quartile(std::move(rates));
}

double product_rate(ThreadPool& pool, const KernelTable& kernels, DType dtype) {
  // 16 chains of 16 lanes a step: a pair of bf16 is two multiply-adds, an fp32 value one.
  const double operations = (dtype == DType::bf16 ? 64.0 : 32.0) * 16 * kProductSteps;
  return rate_of(pool, operations, [&](std::size_t, std::size_t) {
    const FloatMode mode(dtype);
    static_cast<void>(kernels.limit_product(kProductSteps));
  });
}

}  // namespace

MachineLimits measure_machine_limits(int threads) {
  const KernelTable kernels = kernels_for("auto", DType::fp32);
  ThreadPool pool(threads);
  const std::size_t windows_of_thread =
      std::max(kWindowsOfThread, kFewestWindows / static_cast<std::size_t>(threads));
  constexpr auto kFloats = static_cast<std::int64_t>(kWindowBytes / sizeof(float));
  const Buffer memory =
      allocate_zeroed(kWindowBytes * windows_of_thread * static_cast<std::size_t>(threads));
  const auto window = [&](std::size_t part, std::size_t sample) {
    const std::size_t index = part * windows_of_thread + sample % windows_of_thread;
    return reinterpret_cast<float*>(memory.data() + index * kWindowBytes);
  };
  MachineLimits limits;
  // The first round through the windows touches them.
  const auto update = [&](std::size_t part, std::size_t sample) {
    kernels.limit_update(window(part, sample), kFloats);
  };
  for (std::size_t i = 0; i < windows_of_thread; ++i) {
    pool.run(pool.size(), [&](int part) { update(static_cast<std::size_t>(part), i); });
  }
  limits.update_bytes_per_s = rate_of(pool, 2.0 * kWindowBytes, update);
  limits.read_bytes_per_s = rate_of(pool, kWindowBytes, [&](std::size_t part, std::size_t sample) {
    static_cast<void>(kernels.limit_read(window(part, sample), kFloats));
  });
  const KernelTable bf16 = kernels_for("auto", DType::bf16);  // tried once: it takes milliseconds
  limits.bf16_flop_per_s = product_rate(pool, bf16, DType::bf16);
  limits.fp32_flop_per_s = product_rate(pool, kernels, DType::fp32);
  auto* codes = bf16.int8.limit_product;
  limits.int8_op_per_s =
      rate_of(pool, 16.0 * 16 * 4 * 2 * kProductSteps,
              [&](std::size_t, std::size_t) { static_cast<void>(codes(kProductSteps)); });
  return limits;
}

}  // namespace gridmill
