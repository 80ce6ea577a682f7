#include "gridmill/generate/score.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "gridmill/base/error.hpp"
#include "gridmill/generate/generator.hpp"
#include "support/model_run.hpp"
#include "support/thread_exchange.hpp"
#include "support/tiny_models.hpp"

namespace gridmill {
namespace {

using test::walk;

class Score : public ::testing::TestWithParam<test::TinyModel> {
 protected:
  Score() : backend_(make_backend("reference", {})), run_(GetParam().config, *backend_, 4, 60) {}
  std::vector<ScoredRow> score_rows(const std::vector<std::vector<TokenId>>& rows,
                                    const ScoreOptions& options = {}) {
    NoExchange alone;
    return score(*run_.model, run_.context, run_.parameters, *run_.state, alone, rows, options);
  }
  std::unique_ptr<Backend> backend_;
  test::ModelRun run_;
};

TEST_P(Score, IsTheLogprobsThatAGeneratorReports) {
  const std::vector<TokenId> row = walk(20, 300, 1);
  Generator generator(*run_.model, run_.context, run_.parameters, {.slots = 1, .max_length = 60});
  Request request;
  request.prompt = row;
  request.max_length = 20;
  request.logprobs = true;
  ASSERT_TRUE(generator.admit(request));
  const std::vector<Completion> completed = generator.step();
  ASSERT_EQ(completed.size(), 1U);
  EXPECT_EQ(score_rows({row})[0].logprobs, completed[0].logprobs);
}

TEST_P(Score, ALogitRowFollowsEachToken) {
  const std::vector<TokenId> row = walk(13, 300, 2);
  const ScoredRow scored = score_rows({row}, {.logits = true})[0];
  run_.state->reset(0);
  EXPECT_EQ(scored.logits.flat(), run_.feed(0, row).flat());
}

TEST_P(Score, SumsAndLengthsAreThoseOfTheTokens) {
  const std::vector<std::vector<TokenId>> rows = {walk(7, 300, 3), {5}, walk(30, 300, 4)};
  const std::vector<ScoredRow> scored = score_rows(rows);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    ASSERT_EQ(scored[i].logprobs.size(), rows[i].size());
    EXPECT_EQ(scored[i].logprobs[0], 0.0F);
    double sum = 0;
    for (const float logprob : scored[i].logprobs) {
      EXPECT_LE(logprob, 0.0F);
      sum += static_cast<double>(logprob);
    }
    EXPECT_EQ(scored[i].sum_logprob, sum);
    EXPECT_FALSE(scored[i].has_nan);
  }
}

TEST_P(Score, ARowDoesNotDependOnItsNeighboursOrThePassSize) {
  const std::vector<std::vector<TokenId>> rows = {walk(7, 300, 3), walk(2, 300, 5),
                                                  walk(30, 300, 4)};
  const std::vector<ScoredRow> together = score_rows(rows, {.logits = true, .pass_rows = 3});
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const ScoredRow alone = score_rows({rows[i]}, {.logits = true})[0];
    EXPECT_EQ(together[i].logprobs, alone.logprobs) << i;
    EXPECT_EQ(together[i].logits.flat(), alone.logits.flat()) << i;
  }
}

TEST_P(Score, RefusesRowsThatAreEmptyOutOfRangeOrTooMany) {
  EXPECT_THROW(static_cast<void>(score_rows({{}})), UsageError);
  EXPECT_THROW(static_cast<void>(score_rows({{1, 300}})), UsageError);
  EXPECT_THROW(static_cast<void>(score_rows({{1}, {1}, {1}, {1}, {1}})), UsageError);
}

TEST_P(Score, RefusesRowsLongerThanAKvCacheButNoneForARecurrentState) {
  const auto score_a_long_row = [&] { return score_rows({walk(62, 300, 1)}); };
  if (GetParam().name == "llama") {
    EXPECT_THROW(static_cast<void>(score_a_long_row()), UsageError);
  } else {
    EXPECT_EQ(score_a_long_row().at(0).logprobs.size(), 62U);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Score,
                         ::testing::Values(test::TinyModel{"llama", test::llama_config()},
                                           test::TinyModel{"xlstm", test::xlstm_config()}),
                         [](const ::testing::TestParamInfo<test::TinyModel>& each) {
                           return each.param.name;
                         });

TEST(ScoreInLockStep, RanksMakeEquallyManyPassesWhateverTheirRows) {
  std::array<std::size_t, 2> acquired{};
  test::ThreadGroup(2).run([&](Exchange& group) {
    const auto backend = make_backend("reference", {});
    test::ModelRun run(test::llama_config(), *backend, 2, 60);
    run.parameters.forget();
    std::vector<std::vector<TokenId>> rows;
    if (group.rank() == 1) rows = {walk(50, 300, 1), walk(3, 300, 2)};
    static_cast<void>(score(*run.model, run.context, run.parameters, *run.state, group, rows,
                            {.logits = true, .pass_rows = 10}));
    acquired[static_cast<std::size_t>(group.rank())] = run.parameters.acquired().size();
  });
  EXPECT_GT(acquired[0], 0U);
  EXPECT_EQ(acquired[0], acquired[1]);
}

}  // namespace
}  // namespace gridmill
