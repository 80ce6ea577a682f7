// Sampling options against what transformers and an independent float64 program computed.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "golden/sampling_cases.hpp"
#include "gridmill/sampling/choose_token.hpp"
#include "gridmill/sampling/filter.hpp"

namespace gridmill {
namespace {

class SamplingGolden : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const std::string root = GRIDMILL_GOLDEN_DIR;
    if (root.empty()) GTEST_SKIP() << "needs the full golden data: set GRIDMILL_GOLDEN_DIR";
    folder_ = root + "/sampling/";
    const h5::File file = h5::File::open(folder_ + GetParam() + ".h5");
    for (const std::string& name : test::sampling_case_names(file)) {
      cases_.push_back(test::read_sampling_case(file, name));
    }
    ASSERT_GE(cases_.size(), 60U);
  }

  std::string folder_;
  std::vector<test::SamplingCase> cases_;
};

std::vector<std::uint32_t> bits_of(const std::vector<float>& values) {
  std::vector<std::uint32_t> bits;
  for (const float value : values) bits.push_back(std::bit_cast<std::uint32_t>(value));
  return bits;
}

/// Maximum and sum of exp(x - maximum), joined as a tree.
std::pair<float, float> log_sum_exp(std::span<const float> logits) {
  if (logits.size() == 1) return {logits[0], 1.0F};
  auto [max, sum] = log_sum_exp(logits.first(logits.size() / 2));
  const auto [other_max, other_sum] = log_sum_exp(logits.subspan(logits.size() / 2));
  join_log_sum_exp(max, sum, other_max, other_sum);
  return {max, sum};
}

/// The ids that FilterSearch keeps if 8 parts of the vocabulary count for themselves.
std::vector<TokenId> kept_by_counters(const std::vector<float>& x, const SamplingPlan& plan) {
  LogitPeak peak;
  for (const float value : x) peak.add({.max = value});
  FilterSearch search(plan, static_cast<std::int64_t>(x.size()), peak);
  const std::size_t part = x.size() / 8 + 1;
  while (!search.done()) {
    FilterBins all;
    for (std::size_t first = 0; first < x.size(); first += part) {
      FilterBins bins;
      for (std::size_t id = first; id < std::min(first + part, x.size()); ++id) {
        count_token(search.pass(), static_cast<TokenId>(id), x[id], bins);
      }
      all.add(bins);
    }
    search.take(all);
  }
  std::vector<TokenId> kept;
  for (std::size_t id = 0; id < x.size(); ++id) {
    if (is_kept(search.kept(), static_cast<TokenId>(id), x[id])) {
      kept.push_back(static_cast<TokenId>(id));
    }
  }
  return kept;
}

TEST_P(SamplingGolden, KeepsTheRecordedIds) {
  for (const test::SamplingCase& one : cases_) {
    const RowRules rules = one.rules();
    const SamplingPlan plan = rules.plan(0, 0, 1);
    const ChosenToken chosen = choose_token(one.logits, plan);
    EXPECT_EQ(chosen.kept, one.kept) << one.name;
    if (!one.adjusted.empty()) {
      EXPECT_EQ(bits_of(chosen.adjusted), bits_of(one.adjusted)) << one.name;
    }
    if (plan.temperature != 0) {
      EXPECT_EQ(kept_by_counters(chosen.adjusted, plan), one.kept) << one.name;
    }
    SamplingPlan greedy = plan;
    greedy.temperature = 0;
    EXPECT_EQ(choose_token(one.logits, greedy).id, one.greedy) << one.name;
  }
}

TEST_P(SamplingGolden, RanksTheMostLikelyIds) {
  for (const test::SamplingCase& one : cases_) {
    const auto ranked =
        most_likely_tokens(one.logits, static_cast<std::int64_t>(one.top_ids.size()));
    const auto [max, sum] = log_sum_exp(one.logits);
    for (std::size_t i = 0; i < ranked.size(); ++i) {
      EXPECT_EQ(ranked[i].id, one.top_ids[i]) << one.name;
      const double expected = one.top_logprobs[i];
      // 18 levels of joins round by 2e-7 each at most, a logit by 6e-8 of itself.
      const double tolerance = 4e-6 + 2e-7 * std::fabs(max);
      const double found = log_probability(ranked[i].logit, max, sum);
      if (std::isinf(expected)) {
        EXPECT_EQ(found, expected) << one.name;
      } else {
        EXPECT_NEAR(found, expected, tolerance) << one.name;
      }
    }
  }
}

TEST_P(SamplingGolden, DrawsTheRecordedTokens) {
  const h5::File draws = h5::File::open(folder_ + "draws.h5");
  int drawn = 0;
  for (const test::SamplingCase& one : cases_) {
    const std::string group = "/" + GetParam() + one.name;
    if (!draws.exists(group)) continue;
    const auto keys =
        draws.dataset(group + "/seed_prompt_sample_position").read_as<std::uint64_t>();
    const auto tokens = draws.dataset(group + "/token").read_as<std::int32_t>();
    const RowRules rules = one.rules();
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      SamplingPlan plan = rules.plan(0, 0, 0);
      plan.key = {.seed = keys[4 * i],
                  .prompt = static_cast<PromptId>(keys[4 * i + 1]),
                  .sample = static_cast<std::uint32_t>(keys[4 * i + 2]),
                  .position = static_cast<std::uint32_t>(keys[4 * i + 3])};
      EXPECT_EQ(choose_token(one.logits, plan).id, tokens[i]) << one.name << ", draw " << i;
      ++drawn;
    }
  }
  EXPECT_GE(drawn, 100);
}

INSTANTIATE_TEST_SUITE_P(Cases, SamplingGolden, ::testing::Values("transformers", "reference"),
                         [](const auto& each) { return each.param; });

}  // namespace
}  // namespace gridmill
