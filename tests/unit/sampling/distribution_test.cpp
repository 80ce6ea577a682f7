#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>

#include "gridmill/sampling/sampling_plan.hpp"

namespace gridmill {
namespace {

constexpr std::array<float, 8> kLogits = {0.0F, 1.0F, -1.0F, 2.0F, 0.5F, -2.0F, 1.5F, -0.5F};
constexpr int kDraws = 40000;
/// 1 - 1e-4 quantile of chi-square with 7 degrees of freedom. The smallest expected count is
/// kDraws * 0.0074 = 297 (temperature 1), far above the 5 that the approximation asks for. Keys are
/// fixed, so this passes or fails for good; a wrong distribution misses it by orders of magnitude.
constexpr double kBound = 29.88;

/// Which part of the key changes from draw to draw.
enum class Vary { prompt, sample, position, seed };

TokenId draw(float temperature, Vary vary, std::uint32_t index) {
  SamplingPlan plan{.temperature = temperature,
                    .key = {.seed = 7, .prompt = 3, .sample = 1, .position = 5}};
  if (vary == Vary::prompt) plan.key.prompt = index;
  if (vary == Vary::sample) plan.key.sample = index;
  if (vary == Vary::position) plan.key.position = index;
  if (vary == Vary::seed) plan.key.seed = index;
  TokenId best = 0;
  for (TokenId id = 1; id < static_cast<TokenId>(kLogits.size()); ++id) {
    const auto at = [&](TokenId token) {
      return selection_score(plan, token, kLogits[static_cast<std::size_t>(token)]);
    };
    if (at(id) > at(best)) best = id;
  }
  return best;
}

/// Chi-square statistic of the draws against softmax(logits / assumed_temperature).
double chi_square(float temperature, Vary vary, double assumed_temperature) {
  std::array<double, 8> expected{};
  double sum = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    expected[i] = std::exp(static_cast<double>(kLogits[i]) / assumed_temperature);
    sum += expected[i];
  }
  std::array<double, 8> counts{};
  for (std::uint32_t i = 0; i < kDraws; ++i) {
    counts[static_cast<std::size_t>(draw(temperature, vary, i))] += 1;
  }
  double statistic = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const double mean = kDraws * expected[i] / sum;
    statistic += (counts[i] - mean) * (counts[i] - mean) / mean;
  }
  return statistic;
}

TEST(GumbelMaxSelection, FollowsTheSoftmaxWhateverPartOfTheKeyChanges) {
  for (const Vary vary : {Vary::prompt, Vary::sample, Vary::position, Vary::seed}) {
    EXPECT_LT(chi_square(1.0F, vary, 1.0), kBound) << static_cast<int>(vary);
  }
}

TEST(GumbelMaxSelection, FollowsTheSoftmaxAtOtherTemperatures) {
  EXPECT_LT(chi_square(2.0F, Vary::position, 2.0), kBound);
  EXPECT_LT(chi_square(-1.5F, Vary::position, -1.5), kBound);
}

TEST(GumbelMaxSelection, TheTestSeesATemperatureThatIsFivePercentOff) {
  EXPECT_GT(chi_square(1.0F, Vary::prompt, 1.05), kBound);
}

}  // namespace
}  // namespace gridmill
