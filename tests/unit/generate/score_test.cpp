#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "gridmill/generate/generator.hpp"
#include "support/model_run.hpp"
#include "support/tiny_models.hpp"

// Rows that are scored: a Generator's rows that are given as a whole.
namespace gridmill {
namespace {

using test::walk;

struct Scored {
  Completion completion;
  std::vector<float> logits;  ///< [T, V]
};

struct How {
  bool logits = false;
  std::int64_t pass_rows = 512;
  int slots = 4;
  std::int64_t pool_positions = 0;
  std::int64_t first_logprob = 1;
};

class Score : public ::testing::TestWithParam<test::TinyModel> {
 protected:
  Score() : backend_(make_backend("reference", {})), run_(GetParam().config, *backend_, 4, 60) {}
  std::vector<Scored> score_rows(const std::vector<std::vector<TokenId>>& rows,
                                 const How& how = {}) {
    Generator generator(*run_.model, run_.context, run_.parameters,
                        {.slots = how.slots,
                         .max_length = 60,
                         .pool_positions = how.pool_positions,
                         .pass_rows = how.pass_rows});
    std::vector<Scored> scored(rows.size());
    std::size_t next = 0;
    while (next < rows.size() || !generator.idle()) {
      for (; next < rows.size() && generator.free_slots() > 0; ++next) {
        Request request;
        request.row = next;
        request.prompt = rows[next];
        request.max_length = 60;
        request.score = true;
        request.logprobs = true;
        request.top_logprobs = 2;
        request.first_logprob = how.first_logprob;
        request.logits = how.logits;
        request.counts.assign(rows[next].size(), 1);
        EXPECT_TRUE(generator.admit(std::move(request)));
      }
      std::vector<Completion> completions = generator.step();
      for (const RowLogits& piece : generator.logits()) {
        std::vector<float>& logits = scored[piece.row].logits;
        logits.resize(static_cast<std::size_t>(piece.position * piece.logits.extent(1)));
        const std::span<const float> values = piece.logits.flat();
        logits.insert(logits.end(), values.begin(), values.end());
      }
      for (Completion& each : completions) scored[each.row].completion = std::move(each);
    }
    passes_ = generator.statistics().passes;
    return scored;
  }
  std::unique_ptr<Backend> backend_;
  test::ModelRun run_;
  std::int64_t passes_ = 0;
};

TEST_P(Score, IsTheLogprobsOfAPromptThatARowGoesOnFrom) {
  const std::vector<TokenId> row = walk(20, 300, 1);
  Generator generator(*run_.model, run_.context, run_.parameters, {.slots = 1, .max_length = 60});
  Request request;
  request.prompt = row;
  request.max_length = 20;
  request.logprobs = true;
  ASSERT_TRUE(generator.admit(request));
  const std::vector<Completion> completed = generator.step();
  ASSERT_EQ(completed.size(), 1U);
  const Completion scored = score_rows({row})[0].completion;
  EXPECT_EQ(scored.logprobs, completed[0].logprobs);
  EXPECT_EQ(scored.tokens, row) << "nothing is generated";
  EXPECT_EQ(scored.counts.size(), row.size());
  EXPECT_EQ(scored.top.size(), 2 * row.size());
}

TEST_P(Score, ALogitRowFollowsEachToken) {
  const std::vector<TokenId> row = walk(13, 300, 2);
  const Scored scored = score_rows({row}, {.logits = true})[0];
  run_.state->reset(0);
  EXPECT_EQ(scored.logits, run_.feed(0, row).flat());
  EXPECT_EQ(scored.completion.logprobs, score_rows({row})[0].completion.logprobs);
}

TEST_P(Score, RowsOfOneTokenHaveNothingToPredict) {
  const Completion scored = score_rows({{5}})[0].completion;
  EXPECT_EQ(scored.logprobs, std::vector<float>{0});
  EXPECT_EQ(scored.reason, FinishReason::length);
}

TEST_P(Score, LogprobsInFrontOfTheFirstWantedOneAreZero) {
  const std::vector<TokenId> row = walk(20, 300, 1);
  std::vector<float> expected = score_rows({row})[0].completion.logprobs;
  std::fill_n(expected.begin(), 7, 0.0F);
  EXPECT_EQ(score_rows({row}, {.first_logprob = 7})[0].completion.logprobs, expected);
}

TEST_P(Score, ARowDoesNotDependOnItsNeighboursOrThePassSizeOrThePool) {
  std::vector<std::vector<TokenId>> rows = {{5}};
  for (std::uint64_t row = 0; row < 9; ++row) rows.push_back(walk(2 + row * 7 % 55, 300, row));
  std::vector<Scored> alone;
  for (const auto& row : rows) {
    alone.push_back(std::move(score_rows({row}, {.logits = true})[0]));
  }
  const std::vector<How> ways = {{.logits = true, .pass_rows = 3},
                                 {.logits = true, .pass_rows = 17, .slots = 2},
                                 {.logits = true, .pass_rows = 8, .pool_positions = 128}};
  for (const How& how : ways) {
    const std::vector<Scored> together = score_rows(rows, how);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      EXPECT_EQ(together[i].completion.logprobs, alone[i].completion.logprobs) << i;
      EXPECT_EQ(together[i].completion.top, alone[i].completion.top) << i;
      EXPECT_EQ(together[i].logits, alone[i].logits) << i;
    }
  }
}

TEST_P(Score, PassesAreFullWhateverTheLengths) {
  std::vector<std::vector<TokenId>> rows;
  std::int64_t fed = 0;
  for (std::uint64_t row = 0; row < 60; ++row) {
    rows.push_back(walk(1 + row * row % 50, 300, row));
    fed += static_cast<std::int64_t>(rows.back().size()) - 1;
  }
  static_cast<void>(score_rows(rows, {.pass_rows = 32, .slots = 16}));
  EXPECT_LE(static_cast<double>(passes_), 1.1 * static_cast<double>((fed + 31) / 32));
}

INSTANTIATE_TEST_SUITE_P(Models, Score,
                         ::testing::Values(test::TinyModel{"llama", test::llama_config()},
                                           test::TinyModel{"xlstm", test::xlstm_config()}),
                         [](const ::testing::TestParamInfo<test::TinyModel>& each) {
                           return each.param.name;
                         });

}  // namespace
}  // namespace gridmill
