#include <gtest/gtest.h>

#include <limits>

#include "generator_fixture.hpp"
#include "gridmill/base/error.hpp"
#include "support/null_device/null_device.hpp"

namespace gridmill {
namespace {

using test::expected_row;
using test::request_of;
using test::run_all;
using test::walk;

constexpr std::int64_t kLongest = 40;

class GeneratorRow : public ::testing::TestWithParam<test::TinyModel> {
 protected:
  GeneratorRow()
      : backend_(make_backend("reference", {})), run_(GetParam().config, *backend_, 1, kLongest) {}

  Completion generate(Request request, std::int64_t pass_rows = 512) {
    const RowId row = request.row;
    Generator generator(*run_.model, run_.context, run_.parameters,
                        {.slots = 2, .max_length = kLongest, .pass_rows = pass_rows});
    return run_all(generator, {std::move(request)}).at(row);
  }

  std::unique_ptr<Backend> backend_;
  test::ModelRun run_;
};

TEST_P(GeneratorRow, IsThePromptAndTheBestScoringTokenBehindEachToken) {
  for (const float temperature : {0.0F, 1.0F, 0.7F}) {
    Request request = request_of(3, walk(5, 300, 1), 20);
    request.sampling.temperature = temperature;
    const Completion expected = expected_row(run_, request);
    const Completion found = generate(request);
    EXPECT_EQ(found.tokens, expected.tokens) << temperature;
    EXPECT_EQ(found.tokens.size(), 20U);
    EXPECT_EQ(found.prefix_length, 5);
    EXPECT_EQ(found.reason, FinishReason::length);
    EXPECT_TRUE(found.logprobs.empty());
    EXPECT_EQ(found.failure, "");
  }
}

TEST_P(GeneratorRow, EndsWithTheEodTokenThatItGenerates) {
  Request request = request_of(1, walk(4, 300, 2), kLongest);
  const std::vector<TokenId> endless = generate(request).tokens;
  request.limits.eod_token_ids = {endless[9], -5};
  const Completion found = generate(request);
  const auto first = std::find(endless.begin() + 4, endless.end(), endless[9]);
  EXPECT_EQ(found.tokens, std::vector<TokenId>(endless.begin(), first + 1));
  EXPECT_EQ(found.reason, FinishReason::eod);
}

TEST_P(GeneratorRow, AnEodTokenInThePromptDoesNotStopIt) {
  Request request = request_of(1, walk(4, 300, 2), 12);
  const std::vector<TokenId> expected = generate(request).tokens;
  request.limits.eod_token_ids.clear();
  for (const TokenId id : request.prompt) {
    const bool generated = std::count(expected.begin() + 4, expected.end(), id) > 0;
    if (!generated) request.limits.eod_token_ids.push_back(id);
  }
  ASSERT_FALSE(request.limits.eod_token_ids.empty());
  EXPECT_EQ(generate(request).tokens, expected);
}

TEST_P(GeneratorRow, AnEodTokenInTheLastPlaceCountsAsEod) {
  Request request = request_of(1, walk(4, 300, 2), 5);
  const Completion full = generate(request);
  EXPECT_EQ(full.reason, FinishReason::length);
  request.limits.eod_token_ids = {full.tokens.back()};
  EXPECT_EQ(generate(request).reason, FinishReason::eod);
}

TEST_P(GeneratorRow, MaxNewTokensLimitsTheGeneratedOnes) {
  Request request = request_of(1, walk(4, 300, 3), 30);
  const std::vector<TokenId> expected = generate(request).tokens;
  request.limits.max_new_tokens = 6;
  const Completion found = generate(request);
  EXPECT_EQ(found.tokens, std::vector<TokenId>(expected.begin(), expected.begin() + 10));
  EXPECT_EQ(found.reason, FinishReason::length);
  request.limits.max_new_tokens = 0;
  EXPECT_EQ(generate(request).tokens, request.prompt);
}

TEST_P(GeneratorRow, APromptOfMaxLengthGeneratesNothingButIsScored) {
  Request request = request_of(1, walk(10, 300, 4), 10);
  EXPECT_EQ(generate(request).tokens, request.prompt);
  request.logprobs = true;
  const Completion scored = generate(request);
  EXPECT_EQ(scored.tokens, request.prompt);
  EXPECT_EQ(scored.reason, FinishReason::length);
  request.max_length = 20;
  const std::vector<float> longer = generate(request).logprobs;
  EXPECT_EQ(scored.logprobs, std::vector<float>(longer.begin(), longer.begin() + 10));
}

TEST_P(GeneratorRow, LogprobsAreThoseOfTheModelsOwnDistribution) {
  Request request = request_of(1, walk(6, 300, 5), 16);
  request.sampling.temperature = 2.0F;
  request.logprobs = true;
  const Completion found = generate(request);
  ASSERT_EQ(found.logprobs.size(), found.tokens.size());
  EXPECT_EQ(found.logprobs[0], 0.0F);
  run_.state->reset(0);
  const Tensor<float, 2> logits = run_.feed(0, found.tokens);
  for (std::size_t t = 1; t < found.tokens.size(); ++t) {
    const std::span<const float> row = logits.view().row(static_cast<std::int64_t>(t) - 1);
    double sum = 0;
    for (const float logit : row) sum += std::exp(static_cast<double>(logit));
    const double expected = row[static_cast<std::size_t>(found.tokens[t])] - std::log(sum);
    // fp32 log-sum-exp of 300 terms below 32: a few ulp.
    EXPECT_NEAR(found.logprobs[t], expected, 1e-5) << t;
  }
}

TEST_P(GeneratorRow, AskingForLogprobsChangesNoToken) {
  Request request = request_of(1, walk(6, 300, 6), 16);
  const std::vector<TokenId> expected = generate(request).tokens;
  request.logprobs = true;
  EXPECT_EQ(generate(request).tokens, expected);
  EXPECT_EQ(generate(request, 4).tokens, expected);
  EXPECT_EQ(generate(request, 4).logprobs, generate(request).logprobs);
}

TEST_P(GeneratorRow, AResumedRowIsTheRowThatWasNeverInterrupted) {
  Request request = request_of(1, walk(6, 300, 7), 30);
  request.logprobs = true;
  const Completion whole = generate(request);
  for (const std::ptrdiff_t known : {1, 9, 23}) {
    Request resumed = request;
    resumed.replay.assign(whole.tokens.begin() + 6, whole.tokens.begin() + 6 + known);
    for (const std::int64_t pass_rows : {512, 3}) {
      const Completion found = generate(resumed, pass_rows);
      EXPECT_EQ(found.tokens, whole.tokens) << known;
      EXPECT_EQ(found.logprobs, whole.logprobs) << known;
      EXPECT_EQ(found.prefix_length, 6);
    }
  }
}

TEST_P(GeneratorRow, AResumedRowThatHadEndedEndsAtOnce) {
  Request request = request_of(1, walk(6, 300, 7), 30);
  request.replay = {11, 12};
  request.limits.eod_token_ids = {12};
  const Completion found = generate(request);
  EXPECT_EQ(found.tokens.size(), 8U);
  EXPECT_EQ(found.reason, FinishReason::eod);
  request.limits.eod_token_ids = {};
  request.limits.max_new_tokens = 2;
  EXPECT_EQ(generate(request).reason, FinishReason::length);
}

INSTANTIATE_TEST_SUITE_P(Models, GeneratorRow, ::testing::ValuesIn(test::tiny_models()),
                         [](const ::testing::TestParamInfo<test::TinyModel>& each) {
                           return each.param.name;
                         });

/// Models with a head of their own: in a tied one a poisoned token row poisons a logit of every
/// row.
class GeneratorNan : public GeneratorRow {};

TEST_P(GeneratorNan, ALogitThatIsNoNumberFailsTheRowAndNoOther) {
  test::Tensors tensors = run_.tensors;
  std::vector<float>& table = tensors["embedding"];
  table[250 * (table.size() / 300)] = std::numeric_limits<float>::quiet_NaN();
  test::MemoryParameters parameters(*backend_, *run_.model, tensors);
  Generator generator(*run_.model, run_.context, parameters, {.slots = 3, .max_length = kLongest});
  const Request bad = request_of(5, {1, 250, 3}, 12);
  Request good = request_of(6, {1, 2, 3}, 12);
  good.limits.max_new_tokens = 1;
  const auto rows = run_all(generator, {bad, good});
  EXPECT_EQ(rows.at(5).reason, FinishReason::error);
  EXPECT_NE(rows.at(5).failure.find("not a number"), std::string::npos);
  EXPECT_EQ(rows.at(5).tokens, bad.prompt);
  EXPECT_EQ(rows.at(6).reason, FinishReason::length);
  EXPECT_EQ(rows.at(6).failure, "");
  EXPECT_EQ(generator.statistics().failed_rows, 1);
  EXPECT_EQ(generator.statistics().completed_rows, 1);
}

TEST_P(GeneratorNan, WithLogprobsAPromptTokenBehindABadOneFailsTheRowToo) {
  test::Tensors tensors = run_.tensors;
  std::vector<float>& table = tensors["embedding"];
  table[250 * (table.size() / 300)] = std::numeric_limits<float>::quiet_NaN();
  test::MemoryParameters parameters(*backend_, *run_.model, tensors);
  Generator generator(*run_.model, run_.context, parameters, {.slots = 1, .max_length = kLongest});
  Request request = request_of(5, {1, 250, 3}, 3);
  request.logprobs = true;
  const auto rows = run_all(generator, {request});
  EXPECT_EQ(rows.at(5).reason, FinishReason::error);
  EXPECT_NE(rows.at(5).failure.find("token 2"), std::string::npos) << rows.at(5).failure;
}

INSTANTIATE_TEST_SUITE_P(Untied, GeneratorNan,
                         ::testing::Values(test::TinyModel{"llama", test::llama_config()},
                                           test::TinyModel{"xlstm", test::xlstm_config()}),
                         [](const ::testing::TestParamInfo<test::TinyModel>& each) {
                           return each.param.name;
                         });

class GeneratorAdmission : public ::testing::Test {
 protected:
  GeneratorAdmission()
      : backend_(make_backend("reference", {})),
        run_(test::xlstm_config(), *backend_, 1, 10),
        generator_(*run_.model, run_.context, run_.parameters, {.slots = 2, .max_length = 10}) {}
  std::unique_ptr<Backend> backend_;
  test::ModelRun run_;
  Generator generator_;
};

TEST_F(GeneratorAdmission, TakesAsManyRowsAsThereAreSlots) {
  EXPECT_EQ(generator_.free_slots(), 2);
  EXPECT_TRUE(generator_.idle());
  EXPECT_TRUE(generator_.admit(request_of(1, {5}, 10)));
  EXPECT_TRUE(generator_.admit(request_of(2, {6}, 10)));
  EXPECT_FALSE(generator_.admit(request_of(3, {7}, 10)));
  EXPECT_EQ(generator_.free_slots(), 0);
  EXPECT_FALSE(generator_.idle());
}

TEST_F(GeneratorAdmission, RefusesWhatItsCallerShouldHaveRejected) {
  EXPECT_THROW(static_cast<void>(generator_.admit(request_of(1, {}, 10))), UsageError);
  EXPECT_THROW(static_cast<void>(generator_.admit(request_of(1, {300}, 10))), UsageError);
  EXPECT_THROW(static_cast<void>(generator_.admit(request_of(1, {-1}, 10))), UsageError);
  EXPECT_THROW(static_cast<void>(generator_.admit(request_of(1, {1, 2, 3}, 2))), UsageError);
  EXPECT_THROW(static_cast<void>(generator_.admit(request_of(1, {1}, 11))), UsageError);
  EXPECT_TRUE(generator_.idle());
}

TEST_F(GeneratorAdmission, ShowsRowsInFlightWithWhatTheyHave) {
  ASSERT_TRUE(generator_.admit(request_of(4, {5, 6}, 10)));
  static_cast<void>(generator_.step());
  static_cast<void>(generator_.step());
  const std::vector<InFlightRow> rows = generator_.in_flight();
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].row, 4U);
  EXPECT_EQ(rows[0].prefix_length, 2);
  EXPECT_EQ(rows[0].tokens.size(), 4U);
}

TEST_F(GeneratorAdmission, ShowsTheLogprobsOfRowsInFlight) {
  Request request = request_of(4, {5, 6}, 10);
  request.logprobs = true;
  ASSERT_TRUE(generator_.admit(request));
  for (int pass = 0; pass < 4; ++pass) static_cast<void>(generator_.step());
  const InFlightRow half_way = generator_.in_flight().at(0);
  const std::vector<float> seen(half_way.logprobs.begin(), half_way.logprobs.end());
  EXPECT_EQ(seen.size(), half_way.tokens.size());
  const std::vector<float> whole = run_all(generator_, {}).at(4).logprobs;
  EXPECT_EQ(seen, std::vector<float>(whole.begin(), whole.begin() + 6));
}

TEST(GeneratorOnADevice, GivesTheBitsOfTheHost) {
  const auto host = make_backend("reference", {});
  const auto device = testing::make_null_device(DType::fp32);
  std::vector<std::vector<TokenId>> tokens;
  for (Backend* backend : {host.get(), device.get()}) {
    test::ModelRun run(test::llama_full_config(), *backend, 1, kLongest);
    Generator generator(*run.model, run.context, run.parameters,
                        {.slots = 2, .max_length = kLongest});
    tokens.push_back(run_all(generator, {request_of(1, walk(9, 300, 1), 25)}).at(1).tokens);
  }
  EXPECT_EQ(tokens[0], tokens[1]);
}

}  // namespace
}  // namespace gridmill
