#include "kernels/cpu/trial.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

#include "gridmill/base/clock.hpp"
#include "gridmill/base/dtype.hpp"
#include "gridmill/base/philox.hpp"
#include "kernels/cpu/float_mode.hpp"
#include "kernels/cpu/memory.hpp"

namespace gridmill::cpu {

namespace {

constexpr std::int64_t kRows = 32;
constexpr std::int64_t kInputs = 1024;
constexpr std::int64_t kPanels = 4;
constexpr std::int64_t kOutputs = kPanels * kPanelOutputs;
constexpr std::int64_t kPairs = kInputs / 2;
constexpr double kTrialSeconds = 1e-3;

/// Pairs of bf16 between 1 / 128 and 2 in magnitude, of either sign.
std::uint32_t random_pair(std::uint32_t index) {
  const auto words = philox4x32({index, 7, 0, 0}, {3, 4});
  return (words[0] & 0x83FF83FFU) | 0x3C003C00U;
}

float low_half(std::uint32_t pair) { return std::bit_cast<float>(pair << 16); }
float high_half(std::uint32_t pair) { return std::bit_cast<float>(pair & 0xFFFF0000U); }

/// Pair `pair` of a row, which lies in a block of 8 rows.
std::size_t place_in_rows(std::int64_t row, std::int64_t pair) {
  return static_cast<std::size_t>(row / kBlockRows * kBlockRows * kPairs + pair * kBlockRows +
                                  row % kBlockRows);
}
std::size_t place_in_panels(std::int64_t output, std::int64_t pair) {
  return static_cast<std::size_t>((output / kPanelOutputs * kPairs + pair) * kPanelOutputs +
                                  output % kPanelOutputs);
}

}  // namespace

ProductTrial try_product(const KernelTable& kernels) {
  std::vector<std::uint32_t> x(static_cast<std::size_t>(kRows * kPairs));
  std::vector<std::uint32_t> w(static_cast<std::size_t>(kOutputs * kPairs));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = random_pair(static_cast<std::uint32_t>(i));
  // A row of other numbers each: their order within the matrix does not matter for the time.
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = x[(i * 31 + i / 97) % x.size()];
  std::vector<float> out(static_cast<std::size_t>(kRows * kOutputs));
  const Buffer scratch = allocate_zeroed(2 * sizeof(float) * kChunkRows * kPanelOutputs);
  const PanelRun run{0, kPanels, reinterpret_cast<const std::byte*>(w.data())};
  ProductArgs args;
  args.x = {reinterpret_cast<std::byte*>(x.data()), kRows, kInputs};
  args.weights = {&run, 1, sizeof(std::uint32_t) * kPairs * kPanelOutputs};
  args.outputs = kOutputs;
  args.out = {out.data(), kRows, kOutputs, kOutputs};
  const Worker alone{0, 1, scratch.data()};

  const FloatMode mode(DType::bf16);
  kernels.product(args, alone);  // also brings everything into the caches
  ProductTrial trial;
  trial.exact = true;
  // A row of each place in a block and an output of each vector; all others are made alike.
  for (std::int64_t row = 0; row < kBlockRows; ++row) {
    for (std::int64_t output = row; output < kOutputs; output += kPanelOutputs / 3 + 1) {
      float sum = 0;
      for (std::int64_t pair = 0; pair < kPairs; ++pair) {
        const std::uint32_t a = x[place_in_rows(row, pair)];
        const std::uint32_t b = w[place_in_panels(output, pair)];
        sum = std::fma(low_half(a), low_half(b), std::fma(high_half(a), high_half(b), sum));
      }
      const float found = out[static_cast<std::size_t>(row * kOutputs + output)];
      if (std::bit_cast<std::uint32_t>(found) != std::bit_cast<std::uint32_t>(sum)) {
        trial.exact = false;
      }
    }
  }
  constexpr double kFlop = 2.0 * kRows * kInputs * kOutputs;
  const auto start = SteadyClock::now();
  do {
    const auto begin = SteadyClock::now();
    kernels.product(args, alone);
    trial.flop_per_s = std::max(trial.flop_per_s, kFlop / seconds_since(begin));
  } while (seconds_since(start) < kTrialSeconds);
  return trial;
}

}  // namespace gridmill::cpu
