#include <gtest/gtest.h>

#include <limits>

#include "gridmill/base/numerics.hpp"
#include "unit/kernels/candidate_test.hpp"
#include "unit/kernels/select_cases.hpp"

// NaN, infinities and ties in the selection of a token, on every backend.
namespace gridmill::testing {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr SamplingPlan kGreedy{.temperature = 0.0F, .key = {}};
constexpr SamplingPlan kRandom{.temperature = 1.0F, .key = {}};

class SelectionValues : public CandidateTest {
 protected:
  /// Head with one input: logit of id = head[id] * 1.
  std::vector<SelectPartial> select(const std::vector<float>& head, const SelectRow& row) {
    SelectCase one{.rows = 1, .inputs = 1, .vocab_size = static_cast<std::int64_t>(head.size())};
    SelectData data{Matrix({1, 1}, 1.0F), Matrix({one.vocab_size, 1}), {}, {row}};
    data.head.flat() = head;
    return run_select(device(), one, data);
  }
};

TEST_P(SelectionValues, ANanLogitIsReportedInItsGroupOnly) {
  std::vector<float> head(512, 0.25F);
  head[130] = kNan;
  const std::vector<SelectPartial> partials = select(head, {.plan = kGreedy});
  for (std::size_t group = 0; group < 8; ++group) {
    EXPECT_EQ(partials[group].has_nan, group == 2 ? 1 : 0) << group;
  }
  EXPECT_TRUE(join_partials(partials).has_nan);
}

TEST_P(SelectionValues, ANanIsSeenWhereverItStands) {
  for (std::size_t at = 0; at < 70; ++at) {
    std::vector<float> head(70, 1.0F);
    head[at] = kNan;
    EXPECT_TRUE(join_partials(select(head, {.plan = kRandom})).has_nan) << at;
  }
}

TEST_P(SelectionValues, TheLowestIdWinsATie) {
  std::vector<float> head(700, -1.0F);
  for (const std::size_t id : {300, 301, 64, 65, 650}) head[id] = 2.0F;
  EXPECT_EQ(join_partials(select(head, {.plan = kGreedy})).id, 64);
}

TEST_P(SelectionValues, OnlyMinusInfinityAllowsNoToken) {
  const std::vector<float> head(200, -kInfinity);
  EXPECT_EQ(join_partials(select(head, {.plan = kGreedy})).id, -1);
  EXPECT_EQ(join_partials(select(head, {.plan = kRandom})).id, -1);
}

TEST_P(SelectionValues, InfinityWins) {
  std::vector<float> head(200, 1.0F);
  head[150] = kInfinity;
  EXPECT_EQ(join_partials(select(head, {.plan = kGreedy})).id, 150);
  EXPECT_EQ(join_partials(select(head, {.plan = kRandom})).id, 150);
}

TEST_P(SelectionValues, InfiniteLogitsShareTheProbability) {
  std::vector<float> head(200, 1.0F);
  head[20] = kInfinity;
  head[150] = kInfinity;
  const Choice choice = join_partials(select(head, {.plan = kGreedy, .target = 3}));
  EXPECT_EQ(choice.id, 20);
  EXPECT_EQ(choice.logprob, -log_f32(2.0F));
  EXPECT_EQ(choice.target_logprob, -kInfinity);
}

TEST_P(SelectionValues, ABlockOfMinusInfinityIsDefined) {
  std::vector<float> head(128, 0.0F);
  for (std::size_t id = 64; id < 128; ++id) head[id] = -kInfinity;
  EXPECT_EQ(join_partials(select(head, {.plan = kGreedy})).logprob, -log_f32(64.0F));
}

TEST_P(SelectionValues, VerySmallTemperaturesChooseTheGreedyToken) {
  std::vector<float> head(200);
  for (std::size_t id = 0; id < head.size(); ++id) head[id] = 1.0F + 0.01F * static_cast<float>(id);
  head[77] = 9.0F;
  for (const float sign : {1.0F, -1.0F}) {
    std::vector<float> signed_head = head;
    for (float& x : signed_head) x = sign > 0 ? x : x - 20.0F;
    for (const float temperature : {1e-38F, 1e-37F, 1e-30F, 1e-6F}) {
      const SamplingPlan plan{.temperature = temperature, .key = {}};
      EXPECT_EQ(join_partials(select(signed_head, {.plan = plan})).id, 77) << temperature;
    }
  }
}

TEST_P(SelectionValues, MinusInfinityBesideNumbersTakesNoProbability) {
  std::vector<float> head(64, -kInfinity);
  head[10] = 3.0F;
  const Choice choice = join_partials(select(head, {.plan = kGreedy, .target = 9}));
  EXPECT_EQ(choice.id, 10);
  EXPECT_EQ(choice.logprob, 0.0F);
  EXPECT_EQ(choice.target_logprob, -kInfinity);
}

INSTANTIATE_TEST_SUITE_P(Backends, SelectionValues, ::testing::ValuesIn(all_candidates()),
                         test_name);

}  // namespace
}  // namespace gridmill::testing
