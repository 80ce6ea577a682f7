#include <gtest/gtest.h>

#include <numeric>

#include "generate/pass_plan_detail.hpp"
#include "generator_fixture.hpp"
#include "support/thread_exchange.hpp"

namespace gridmill {
namespace {

using test::request_of;
using test::run_all;
using test::walk;

constexpr std::int64_t kLongest = 60;

/// Rows of many lengths, some sampled, some with logprobs.
std::vector<Request> mixed_requests(std::size_t count) {
  std::vector<Request> requests;
  for (std::size_t i = 0; i < count; ++i) {
    Request request =
        request_of(i, walk(1 + i * 7 % 23, 300, i), 25 + static_cast<std::int64_t>(i * 5 % 30));
    request.sampling.temperature = i % 3 == 0 ? 0.0F : 1.0F;
    request.logprobs = i % 2 == 0;
    request.limits.eod_token_ids = {static_cast<TokenId>(i), 17, 42, 99};
    request.sample_index = static_cast<std::uint32_t>(i % 2);
    requests.push_back(request);
  }
  return requests;
}

class GeneratorScheduling : public ::testing::TestWithParam<test::TinyModel> {
 protected:
  GeneratorScheduling()
      : backend_(make_backend("reference", {})), run_(GetParam().config, *backend_, 1, kLongest) {}
  std::unique_ptr<Backend> backend_;
  test::ModelRun run_;
};

TEST_P(GeneratorScheduling, ARowIsTheSameForEveryNumberOfSlotsPassSizeAndOrder) {
  std::vector<Request> requests = mixed_requests(8);
  Generator alone(*run_.model, run_.context, run_.parameters, {.slots = 1, .max_length = kLongest});
  const auto expected = run_all(alone, requests);
  std::reverse(requests.begin() + 3, requests.end());
  for (const int slots : {2, 8}) {
    for (const std::int64_t pass_rows : {1, 5, 512}) {
      Generator generator(*run_.model, run_.context, run_.parameters,
                          {.slots = slots, .max_length = kLongest, .pass_rows = pass_rows});
      const auto found = run_all(generator, requests);
      ASSERT_EQ(found.size(), expected.size());
      for (const auto& [row, completion] : expected) {
        EXPECT_EQ(found.at(row).tokens, completion.tokens) << row;
        EXPECT_EQ(found.at(row).logprobs, completion.logprobs) << row;
        EXPECT_EQ(found.at(row).reason, completion.reason) << row;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GeneratorScheduling, ::testing::ValuesIn(test::tiny_models()),
                         [](const ::testing::TestParamInfo<test::TinyModel>& each) {
                           return each.param.name;
                         });

class GeneratorPasses : public ::testing::Test {
 protected:
  GeneratorPasses()
      : backend_(make_backend("reference", {})),
        run_(test::xlstm_config(), *backend_, 1, kLongest) {}
  std::unique_ptr<Backend> backend_;
  test::ModelRun run_;
};

TEST_F(GeneratorPasses, AFinishedSlotIsFreeForTheNextPassWhichMixesPromptAndDecodeRows) {
  Generator generator(*run_.model, run_.context, run_.parameters,
                      {.slots = 2, .max_length = kLongest});
  Request brief = request_of(1, {5, 6}, 3);
  Request longer = request_of(2, {7}, 30);
  ASSERT_TRUE(generator.admit(brief));
  ASSERT_TRUE(generator.admit(longer));
  const std::vector<Completion> first = generator.step();
  ASSERT_EQ(first.size(), 1U);
  EXPECT_EQ(first[0].row, 1U);
  EXPECT_EQ(generator.statistics().mixed_passes, 0);
  ASSERT_TRUE(generator.admit(request_of(3, walk(9, 300, 1), 30)));
  static_cast<void>(generator.step());
  EXPECT_EQ(generator.statistics().refills, 1);
  EXPECT_EQ(generator.statistics().mixed_passes, 1);
  EXPECT_EQ(generator.statistics().passes, 2);
  EXPECT_EQ(generator.statistics().prompt_tokens, 2 + 1 + 9);
  EXPECT_EQ(generator.statistics().new_tokens, 1 + 1 + 2);
}

TEST_F(GeneratorPasses, AWholePromptIsFedInOnePassAndNoLastTokenIsWasted) {
  Generator generator(*run_.model, run_.context, run_.parameters,
                      {.slots = 1, .max_length = kLongest});
  static_cast<void>(run_all(generator, {request_of(1, walk(20, 300, 1), 30)}));
  EXPECT_EQ(generator.statistics().passes, 10);  // the prompt, then nine of ten new tokens
  EXPECT_EQ(generator.statistics().completed_rows, 1);
}

TEST_F(GeneratorPasses, AnEmptyStepStillRunsAPassOfTheModel) {
  Generator generator(*run_.model, run_.context, run_.parameters,
                      {.slots = 1, .max_length = kLongest});
  run_.parameters.forget();
  EXPECT_TRUE(generator.step().empty());
  EXPECT_EQ(run_.parameters.acquired().size(), 3U);
  EXPECT_EQ(generator.statistics().empty_passes, 1);
  EXPECT_EQ(generator.statistics().passes, 0);
}

TEST_F(GeneratorPasses, RanksInLockStepMakeEquallyManyPassesWhateverTheirWork) {
  std::array<std::size_t, 3> passes{};
  test::ThreadGroup(3).run([&](Exchange& group) {
    const auto backend = make_backend("reference", {});
    test::ModelRun run(test::xlstm_config(), *backend, 1, kLongest);
    run.parameters.forget();
    Generator generator(*run.model, run.context, run.parameters,
                        {.slots = 2, .max_length = kLongest});
    for (int i = 0; i < group.rank(); ++i) {
      ASSERT_TRUE(generator.admit(request_of(static_cast<RowId>(i), {3}, 10 + 10 * i)));
    }
    while (group.any(!generator.idle())) static_cast<void>(generator.step());
    passes[static_cast<std::size_t>(group.rank())] = run.parameters.acquired().size() / 3;
  });
  EXPECT_EQ(passes[0], 19U);  // the longest row has 19 tokens to feed
  EXPECT_EQ(passes[1], passes[0]);
  EXPECT_EQ(passes[2], passes[0]);
}

TEST(PassPlan, DecodeRowsComeFirstAndPromptsShareTheRestOldestFirst) {
  using generate_detail::share_pass;
  EXPECT_EQ(share_pass(std::vector<std::int64_t>{1, 300, 1, 400, 5}, 512),
            (std::vector<std::int64_t>{1, 300, 1, 210, 0}));
  EXPECT_EQ(share_pass(std::vector<std::int64_t>{0, 1}, 512), (std::vector<std::int64_t>{0, 1}));
  EXPECT_TRUE(share_pass({}, 512).empty());
}

TEST(PassPlan, ManyDecodeRowsLeaveAnEighthOfThePassToPrompts) {
  std::vector<std::int64_t> pending(512, 1);
  pending.push_back(1000);
  const std::vector<std::int64_t> shares = generate_detail::share_pass(pending, 512);
  EXPECT_EQ(shares.back(), 64);
  EXPECT_EQ(std::accumulate(shares.begin(), shares.end() - 1, std::int64_t{0}), 512);
}

TEST(PassPlan, APromptAdvancesEvenInTheSmallestPass) {
  EXPECT_EQ(generate_detail::share_pass(std::vector<std::int64_t>{1, 9}, 1),
            (std::vector<std::int64_t>{1, 1}));
}

}  // namespace
}  // namespace gridmill
