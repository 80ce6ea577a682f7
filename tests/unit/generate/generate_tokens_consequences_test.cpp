// The consequences of the seed's loop (docs/seed.md), each under its number.
#include <gtest/gtest.h>

#include "generate_tokens_fixture.hpp"
#include "gridmill/base/error.hpp"

namespace gridmill {
namespace {

using test::Flags;
using test::greedy;
using test::Ids;
using test::rows_of;
using test::scripted;
using test::SeedRun;
using test::walk;

GenerateTokensOptions script(std::int64_t length, std::int64_t eod, Ids tokens) {
  GenerateTokensOptions options = greedy(length, eod);
  options.token_sample_fn = scripted(std::move(tokens));
  return options;
}

class SeedConsequences : public ::testing::Test {
 protected:
  SeedRun seed_;
};

TEST_F(SeedConsequences, N01_RowsWithShorterPrefixesGenerateWhileOthersStillRead) {
  const std::vector<TokenId> prompt = walk(6, 300, 1);
  Ids prefix = {prompt, {prompt[0], prompt[1], 0, 0, 0, 0}};
  const Ids rows = rows_of(
      seed_.generate(prefix, Flags{{1, 1, 1, 1, 1, 1}, {1, 1, 0, 0, 0, 0}}, greedy(12)).tokens);
  EXPECT_EQ(rows[0], rows_of(seed_.generate({prompt}, greedy(12)).tokens)[0]);
  EXPECT_EQ(rows[1], rows_of(seed_.generate({{prompt[0], prompt[1]}}, greedy(12)).tokens)[0]);
}

TEST_F(SeedConsequences, N02_TheKeyIsSplitAtEveryStepAlsoWhileReadingThePrefix) {
  // The keys that the sampler sees after a prefix of 1 and of 4 tokens agree by position.
  const auto keys_after = [&](std::size_t prefix_length) {
    std::vector<JaxKey> keys;
    GenerateTokensOptions options = greedy(8);
    options.token_sample_fn = [&](TensorView<const float, 2>, const StepRandom& random) {
      keys.push_back(std::get<JaxRandom>(random.source).key);
      return std::vector<TokenId>{1};
    };
    seed_.generate({std::vector<TokenId>(prefix_length, 1)}, std::move(options),
                   JaxRandom{jax_key(5)});
    return keys;
  };
  const std::vector<JaxKey> from_one = keys_after(1);
  const std::vector<JaxKey> from_four = keys_after(4);
  ASSERT_EQ(from_one.size(), 7U);
  EXPECT_EQ(from_four, std::vector<JaxKey>(from_one.begin() + 3, from_one.end()));
  EXPECT_EQ(from_one[0], split(fold_in(jax_key(5), 0), ThreefryLayout::classic).first);
}

TEST_F(SeedConsequences, N03_MaskedPositionsInsideThePrefixAreGeneratedAndLaterGivenOnesKept) {
  const Ids prefix = {{10, 11, 12, 13, 14}};
  const GeneratedBatch batch =
      seed_.generate(prefix, Flags{{1, 1, 0, 1, 1}}, script(7, -1, {{77}, {78}, {79}}));
  EXPECT_EQ(rows_of(batch.tokens), (Ids{{10, 11, 77, 13, 14, 78, 79}}));
  EXPECT_EQ(rows_of(batch.valid), (Flags{{1, 1, 1, 1, 1, 1, 1}}));
}

TEST_F(SeedConsequences, N03_TheModelReadsTheTokenThatFillsTheHole) {
  const GeneratedBatch batch =
      seed_.generate({{10, 0, 12}}, Flags{{1, 0, 1}}, script(4, -1, {{77}, {78}}));
  const std::vector<TokenId> fed = {10, 77, 12};
  seed_.run.feed(0, fed);
  EXPECT_EQ(batch.cache->save(0), seed_.run.state->save(0));
}

TEST_F(SeedConsequences, N04_ARowWhoseFirstTokenIsMaskedIsInvalidAsAWholeAndFedAsTokenZero) {
  const GeneratedBatch batch =
      seed_.generate({{55, 11, 12}, {20, 21, 22}}, Flags{{0, 1, 1}, {1, 1, 1}}, greedy(5));
  EXPECT_EQ(rows_of(batch.tokens)[0], (std::vector<TokenId>{0, 0, 0, 0, 0}));
  EXPECT_EQ(rows_of(batch.valid)[0], (std::vector<std::uint8_t>{0, 0, 0, 0, 0}));
  EXPECT_EQ(rows_of(batch.valid)[1], (std::vector<std::uint8_t>{1, 1, 1, 1, 1}));
  // The model computed it all the same, from token 0 and the given ones behind it.
  const std::vector<TokenId> fed = {0, 11, 12};
  seed_.run.feed(0, fed);
  const GeneratedBatch shorter =
      seed_.generate({{55, 11, 12}, {20, 21, 22}}, Flags{{0, 1, 1}, {1, 1, 1}}, greedy(4));
  EXPECT_EQ(shorter.cache->save(0), seed_.run.state->save(0));
}

TEST_F(SeedConsequences, N05_AStopTokenInsideTheGivenPrefixDoesNotStopARow) {
  const GeneratedBatch batch = seed_.generate({{9, 9, 5}}, script(6, 9, {{1}, {2}, {3}}));
  EXPECT_EQ(rows_of(batch.tokens), (Ids{{9, 9, 5, 1, 2, 3}}));
  EXPECT_EQ(rows_of(batch.valid), (Flags{{1, 1, 1, 1, 1, 1}}));
}

TEST_F(SeedConsequences, N05_AStopTokenGeneratedInAHoleInvalidatesTheGivenTokensBehindIt) {
  const GeneratedBatch batch =
      seed_.generate({{4, 0, 5, 6}, {4, 5, 6, 7}}, Flags{{1, 0, 1, 1}, {1, 1, 1, 1}},
                     script(6, 9, {{9, 1}, {2, 3}, {2, 4}}));
  EXPECT_EQ(rows_of(batch.tokens), (Ids{{4, 9, 0, 0, 0, 0}, {4, 5, 6, 7, 3, 4}}));
  EXPECT_EQ(rows_of(batch.valid), (Flags{{1, 1, 0, 0, 0, 0}, {1, 1, 1, 1, 1, 1}}));
}

TEST_F(SeedConsequences, N06_ALoopThatStopsEarlyKeepsGivenTokensFurtherRight) {
  const GeneratedBatch batch =
      seed_.generate({{43, 30, 0, 0, 25, 10}}, Flags{{1, 1, 0, 0, 1, 1}}, script(6, 22, {{22}}));
  EXPECT_EQ(rows_of(batch.tokens), (Ids{{43, 30, 22, 0, 25, 10}}));
  EXPECT_EQ(rows_of(batch.valid), (Flags{{1, 1, 1, 0, 1, 1}}));
  EXPECT_EQ(batch.steps, 2);
}

TEST_F(SeedConsequences, N06_EveryFirstTokenMaskedMeansNoStepAndTheMaskItself) {
  seed_.run.parameters.forget();
  const GeneratedBatch stopped = seed_.generate({{43, 30, 31}}, Flags{{0, 1, 1}}, greedy(6, 22));
  EXPECT_EQ(seed_.run.parameters.embeds(), 0);
  EXPECT_EQ(rows_of(stopped.tokens), (Ids{{0, 30, 31, 0, 0, 0}}));
  EXPECT_EQ(rows_of(stopped.valid), (Flags{{0, 1, 1, 0, 0, 0}}));
  const GeneratedBatch fixed = seed_.generate({{43, 30, 31}}, Flags{{0, 1, 1}}, greedy(6));
  EXPECT_EQ(rows_of(fixed.valid), (Flags{{0, 0, 0, 0, 0, 0}}));
}

TEST_F(SeedConsequences, N07_AnEndedRowKeepsRunningAndDoesNotChangeTheOthers) {
  std::vector<std::int64_t> rows_seen;
  GenerateTokensOptions options = greedy(8, 9);
  options.token_sample_fn = [&](TensorView<const float, 2> logits, const StepRandom& random) {
    rows_seen.push_back(logits.extent(0));
    std::vector<TokenId> next = greedy_sampler()(logits, random);
    if (rows_seen.size() == 2) next[0] = 9;
    return next;
  };
  const GeneratedBatch batch = seed_.generate({{1, 2}, {3, 4}}, std::move(options));
  EXPECT_EQ(rows_seen, std::vector<std::int64_t>(6, 2));
  EXPECT_EQ(rows_of(batch.valid)[0], (std::vector<std::uint8_t>{1, 1, 1, 1, 0, 0, 0, 0}));
  EXPECT_EQ(rows_of(batch.tokens)[1], rows_of(seed_.generate({{3, 4}}, greedy(8)).tokens)[0]);
  EXPECT_EQ(batch.cache->position(0), 7);
}

TEST_F(SeedConsequences, N08_TheFillerBehindTheEndIsTokenZeroAndNotValid) {
  const GeneratedBatch batch =
      seed_.generate({{1}, {2}}, script(5, 9, {{0, 5}, {9, 6}, {4, 7}, {4, 8}}));
  EXPECT_EQ(rows_of(batch.tokens)[0], (std::vector<TokenId>{1, 0, 9, 0, 0}));
  EXPECT_EQ(rows_of(batch.valid)[0], (std::vector<std::uint8_t>{1, 1, 1, 0, 0}));
}

TEST_F(SeedConsequences, N09_APrefixOfMaxLengthIsTheResultWithItsHolesFilled) {
  const GeneratedBatch whole = seed_.generate({{1, 2, 3}}, greedy(3));
  EXPECT_EQ(rows_of(whole.tokens), (Ids{{1, 2, 3}}));
  const GeneratedBatch hole = seed_.generate({{1, 0, 3}}, Flags{{1, 0, 1}}, script(3, -1, {{8}}));
  EXPECT_EQ(rows_of(hole.tokens), (Ids{{1, 8, 3}}));
}

TEST_F(SeedConsequences, N09_MaxLengthOneMakesNoStepAndTwoWithAStopTokenWorks) {
  seed_.run.parameters.forget();
  const GeneratedBatch one = seed_.generate({{7}}, greedy(1));
  EXPECT_EQ(rows_of(one.tokens), (Ids{{7}}));
  EXPECT_EQ(rows_of(one.valid), (Flags{{1}}));
  EXPECT_EQ(seed_.run.parameters.embeds(), 0);
  EXPECT_EQ(rows_of(seed_.generate({{7}}, script(2, 5, {{5}})).tokens), (Ids{{7, 5}}));
}

TEST_F(SeedConsequences, N10_AnyNonNegativeIdStopsARowAndFillersAreNeverCompared) {
  const GeneratedBatch batch = seed_.generate({{1}, {2}}, script(4, 0, {{0, 5}, {7, 6}, {7, 0}}));
  EXPECT_EQ(rows_of(batch.valid), (Flags{{1, 1, 0, 0}, {1, 1, 1, 1}}));
  EXPECT_EQ(rows_of(batch.tokens), (Ids{{1, 0, 0, 0}, {2, 5, 6, 0}}));
}

TEST_F(SeedConsequences, N11_TheLastStepNeverFeedsTheLastColumn) {
  const GeneratedBatch batch = seed_.generate({{1, 2}}, script(5, 9, {{3}, {9}}));
  EXPECT_EQ(batch.steps, 3);
  const std::vector<TokenId> fed = {1, 2, 3};
  seed_.run.feed(0, fed);
  EXPECT_EQ(batch.cache->position(0), 3);
  EXPECT_EQ(batch.cache->save(0), seed_.run.state->save(0));
}

TEST_F(SeedConsequences, N12_ParamDtypeRoundsTheParametersAndLeavesActivationsAlone) {
  const test::Tensors rounded = test::rounded_to_bf16(seed_.run.tensors);
  test::MemoryParameters bf16(*seed_.backend, *seed_.run.model, rounded);
  const auto shared = std::shared_ptr<ParameterSource>(&bf16, [](ParameterSource*) {});
  const GenerationState state{*seed_.run.model, seed_.run.context,
                              [&](bool, std::optional<DType> dtype) {
                                return dtype == DType::bf16 ? shared : seed_.parameters;
                              }};
  const Tensor<TokenId, 2> prefix = test::matrix_of(Ids{walk(4, 300, 1)});
  const GeneratedBatch plain = generate_tokens(state, JaxRandom{}, prefix.view(), greedy(9));
  GenerateTokensOptions options = greedy(9);
  options.param_dtype = DType::bf16;
  const GeneratedBatch cast =
      generate_tokens(state, JaxRandom{}, prefix.view(), std::move(options));
  EXPECT_EQ(seed_.backend->compute_dtype(), DType::fp32);
  EXPECT_NE(cast.cache->save(0), plain.cache->save(0));
}

TEST_F(SeedConsequences, N13_ImpossibleLengthsRaise) {
  EXPECT_THROW(seed_.generate({{1, 2, 3}}, greedy(2)), UsageError);
  EXPECT_THROW(seed_.generate({{1}}, greedy(0)), UsageError);
  const Tensor<TokenId, 2> none({1, 0});
  EXPECT_THROW(
      static_cast<void>(generate_tokens(seed_.state(), JaxRandom{}, none.view(), greedy(4))),
      UsageError);
}

TEST_F(SeedConsequences, N13_AMaskMustBeOfThePrefixsShapeAndHoldFlags) {
  EXPECT_THROW(seed_.generate({{1, 2}}, Flags{{1}}, greedy(4)), UsageError);
  EXPECT_THROW(seed_.generate({{1, 2}}, Flags{{1, 1}, {1, 1}}, greedy(4)), UsageError);
  EXPECT_THROW(seed_.generate({{1, 2}}, Flags{{1, 2}}, greedy(4)), UsageError);
}

TEST_F(SeedConsequences, N13_AOneDimensionalPrefixIsAColumn) {
  const std::vector<TokenId> prefix = {5, 6};
  const GeneratedBatch flat =
      generate_tokens(seed_.state(), JaxRandom{}, std::span<const TokenId>(prefix), greedy(4));
  EXPECT_EQ(rows_of(flat.tokens), rows_of(seed_.generate({{5}, {6}}, greedy(4)).tokens));
}

TEST_F(SeedConsequences, N13_AOneDimensionalPrefixTakesAOneDimensionalMaskOrOneOfOneColumn) {
  const std::vector<TokenId> prefix = {5, 6, 7};
  const std::vector<std::uint8_t> flat_mask = {1, 0, 1};
  const Tensor<std::uint8_t, 2> column = test::matrix_of(Flags{{1}, {0}, {1}});
  const GeneratedBatch expected = seed_.generate({{5}, {6}, {7}}, Flags{{1}, {0}, {1}}, greedy(4));
  EXPECT_EQ(rows_of(expected.valid), (Flags{{1, 1, 1, 1}, {0, 0, 0, 0}, {1, 1, 1, 1}}));
  for (const PrefixMask& mask : {PrefixMask(flat_mask), PrefixMask(column.view())}) {
    GenerateTokensOptions options = greedy(4);
    options.prefix_mask = mask;
    const GeneratedBatch masked = generate_tokens(
        seed_.state(), JaxRandom{}, std::span<const TokenId>(prefix), std::move(options));
    EXPECT_EQ(rows_of(masked.tokens), rows_of(expected.tokens));
    EXPECT_EQ(rows_of(masked.valid), rows_of(expected.valid));
  }
  GenerateTokensOptions options = greedy(4);
  options.prefix_mask = std::span<const std::uint8_t>(flat_mask).first(2);
  EXPECT_THROW(
      static_cast<void>(generate_tokens(seed_.state(), JaxRandom{},
                                        std::span<const TokenId>(prefix), std::move(options))),
      UsageError);
}

TEST_F(SeedConsequences, N13_GivenIdsOutsideTheVocabularyAreRefusedMaskedOnesIgnored) {
  EXPECT_THROW(seed_.generate({{300}}, greedy(4)), UsageError);
  EXPECT_THROW(seed_.generate({{-1}}, greedy(4)), UsageError);
  EXPECT_NO_THROW(seed_.generate({{1, 999}}, Flags{{1, 0}}, greedy(4)));
}

}  // namespace
}  // namespace gridmill
